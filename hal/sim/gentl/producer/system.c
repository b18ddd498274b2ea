/* The functions of library, system and interface. */
#include "producer.h"

static bool initialized;

API GC_ERROR GCInitLib(void)
{
    if (initialized)
        return fail(ERR_RESOURCE_IN_USE);
    initialized = true;
    return OK;
}

API GC_ERROR GCCloseLib(void)
{
    if (!initialized)
        return fail(ERR_NOT_INITIALIZED);
    initialized = tl_open = if_open = false;
    return OK;
}

API GC_ERROR GCGetInfo(int32_t command, int32_t *type, void *out, size_t *size)
{
    switch (command) {
    case 0: case 5: return GIVE_TEXT("leukolux-simulation");
    case 1: return GIVE_TEXT("Leukolux");
    case 2: case 7: return GIVE_TEXT("Simulated camera producer");
    case 3: return GIVE_TEXT("1.0");
    case 4: return GIVE_TEXT("Custom");
    case 6: {
        char path[4096];
        return GIVE_TEXT(library_path(path, sizeof path) ? path : "");
    }
    case 8: GIVE_INT(0);
    case 9: GIVE(T_UINT32, uint32_t, 1);
    case 10: GIVE(T_UINT32, uint32_t, 5);
    default: return fail(ERR_NOT_AVAILABLE);
    }
}

API GC_ERROR GCGetLastError(GC_ERROR *code, char *text, size_t *size)
{
    if (code)
        *code = last_failure();
    return give_id("simulated camera", text, size);
}

API GC_ERROR TLOpen(void **handle)
{
    if (!initialized)
        return fail(ERR_NOT_INITIALIZED);
    if (tl_open)
        return fail(ERR_RESOURCE_IN_USE);
    tl_open = true;
    *handle = &tl;
    return OK;
}

/* What is closed takes with it what was opened through it. */
static void close_devices(void)
{
    for (bool found = true; found;) {
        found = false;
        for (struct module *at = modules; at && !found; at = at->next_module)
            if (at->kind == DEVICE) {
                found = true;
                DevClose(at);
            }
    }
}

API GC_ERROR TLClose(void *handle)
{
    if (!is_a(handle, TL))
        return fail(ERR_INVALID_HANDLE);
    close_devices();
    tl_open = if_open = false;
    return OK;
}

API GC_ERROR TLUpdateInterfaceList(void *handle, bool8_t *changed, uint64_t timeout)
{
    (void)timeout;
    if (changed)
        *changed = 0;
    return is_a(handle, TL) ? OK : fail(ERR_INVALID_HANDLE);
}

API GC_ERROR TLGetNumInterfaces(void *handle, uint32_t *count)
{
    if (!is_a(handle, TL))
        return fail(ERR_INVALID_HANDLE);
    *count = 1;
    return OK;
}

API GC_ERROR TLGetInterfaceID(void *handle, uint32_t index, char *id, size_t *size)
{
    if (!is_a(handle, TL))
        return fail(ERR_INVALID_HANDLE);
    return index == 0 ? give_id(INTERFACE_ID, id, size) : fail(ERR_INVALID_INDEX);
}

API GC_ERROR TLOpenInterface(void *handle, const char *id, void **out)
{
    if (!is_a(handle, TL))
        return fail(ERR_INVALID_HANDLE);
    if (!id || strcmp(id, INTERFACE_ID))
        return fail(ERR_INVALID_ID);
    if (if_open)
        return fail(ERR_RESOURCE_IN_USE);
    if_open = true;
    *out = &iface;
    return OK;
}

API GC_ERROR IFClose(void *handle)
{
    if (!is_a(handle, IF))
        return fail(ERR_INVALID_HANDLE);
    close_devices();
    if_open = false;
    return OK;
}

API GC_ERROR IFGetInfo(void *handle, int32_t command, int32_t *type, void *out, size_t *size)
{
    if (!is_a(handle, IF))
        return fail(ERR_INVALID_HANDLE);
    switch (command) {
    case 0: case 1: return GIVE_TEXT(INTERFACE_ID);
    case 2: return GIVE_TEXT("Custom");
    default: return fail(ERR_NOT_AVAILABLE);
    }
}

API GC_ERROR IFUpdateDeviceList(void *handle, bool8_t *changed, uint64_t timeout)
{
    (void)timeout;
    if (!is_a(handle, IF))
        return fail(ERR_INVALID_HANDLE);
    uint32_t before = present_count();
    look_for_cameras();
    if (changed)
        *changed = before != present_count();
    return OK;
}

API GC_ERROR IFGetNumDevices(void *handle, uint32_t *count)
{
    if (!is_a(handle, IF))
        return fail(ERR_INVALID_HANDLE);
    *count = present_count();
    return OK;
}

API GC_ERROR IFGetDeviceID(void *handle, uint32_t index, char *id, size_t *size)
{
    if (!is_a(handle, IF))
        return fail(ERR_INVALID_HANDLE);
    const struct camera *camera = present_camera(index);
    return camera ? give_id(camera->info.serial, id, size) : fail(ERR_INVALID_INDEX);
}

API GC_ERROR IFGetDeviceInfo(void *handle, const char *id, int32_t command, int32_t *type,
                             void *out, size_t *size)
{
    if (!is_a(handle, IF))
        return fail(ERR_INVALID_HANDLE);
    const struct camera *camera = camera_by_id(id);
    return camera ? camera_fact(camera, command, type, out, size) : fail(ERR_INVALID_ID);
}

/* What the standard lets a producer decline: all its functions must be there. */

#define DECLINE(function) \
    API GC_ERROR function(void); \
    API GC_ERROR function(void) { return fail(ERR_NOT_IMPLEMENTED); }

DECLINE(GCGetPortURL)
DECLINE(GCUnregisterEvent)
DECLINE(GCReadPortStacked)
DECLINE(GCWritePortStacked)
DECLINE(TLGetInfo)
DECLINE(TLGetInterfaceInfo)
DECLINE(IFGetParentTL)
DECLINE(DevGetParentIF)
DECLINE(DSGetParentDev)
DECLINE(DSAllocAndAnnounceBuffer)
DECLINE(DSAnnounceCompositeBuffer)
DECLINE(DSGetBufferID)
DECLINE(DSGetBufferChunkData)
DECLINE(DSGetNumBufferParts)
DECLINE(DSGetBufferPartInfo)
DECLINE(DSGetNumFlows)
DECLINE(DSGetFlowInfo)
DECLINE(DSGetNumBufferSegments)
DECLINE(DSGetBufferSegmentInfo)
DECLINE(EventGetDataInfo)
DECLINE(EventKill)
