/* The functions of ports: descriptions and registers. */
#include "producer.h"

#include <stdio.h>

static struct device *device_of_remote(void *handle)
{
    return (struct device *)((char *)handle - offsetof(struct device, remote));
}

static const char *port_name(enum kind kind)
{
    static const char *const names[] = {"TLPort", "InterfacePort", "DevicePort", "Device",
                                        "StreamPort"};
    return kind <= STREAM ? names[kind] : "";
}

/* Modules without features still need a description that can be parsed. */
static int local_xml(enum kind kind, char *out, size_t size)
{
    return snprintf(out, size,
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"
        "<RegisterDescription ModelName=\"Module\" VendorName=\"Leukolux\" ToolTip=\"\" "
        "StandardNameSpace=\"None\" SchemaMajorVersion=\"1\" SchemaMinorVersion=\"1\" "
        "SchemaSubMinorVersion=\"0\" MajorVersion=\"1\" MinorVersion=\"0\" SubMinorVersion=\"0\" "
        "ProductGuid=\"7B5A1B7E-0C5D-4B59-8A56-5E1D3C2F0A0%d\" "
        "VersionGuid=\"A1D0F1C2-6E1B-4C57-9D7E-2B8C4F6A1E0%d\" "
        "xmlns=\"http://www.genicam.org/GenApi/Version_1_1\">\n"
        "<Category Name=\"Root\" NameSpace=\"Standard\"></Category>\n"
        "<Port Name=\"%s\"></Port>\n</RegisterDescription>\n",
        (int)kind, (int)kind, port_name(kind));
}

static bool is_port(const void *handle)
{
    return handle && is_live(handle) && ((const struct module *)handle)->kind <= STREAM;
}

API GC_ERROR GCReadPort(void *handle, uint64_t address, void *out, size_t *size)
{
    if (!is_port(handle))
        return fail(ERR_INVALID_HANDLE);
    if (!out || !size || *size == 0 || *size > MAX_ACCESS)
        return fail(ERR_INVALID_PARAMETER);
    enum kind kind = ((struct module *)handle)->kind;
    if (kind == REMOTE) {
        GC_ERROR status = access_remote(device_of_remote(handle), OP_READ, address, NULL, out,
                                        (uint32_t)*size);
        return status == OK ? OK : fail(status);
    }
    char xml[2048];
    size_t length = (size_t)local_xml(kind, xml, sizeof xml);
    if (address >= length || *size > length - address)
        return fail(ERR_INVALID_ADDRESS);
    memcpy(out, xml + address, *size);
    return OK;
}

API GC_ERROR GCWritePort(void *handle, uint64_t address, const void *data, size_t *size)
{
    if (!is_port(handle))
        return fail(ERR_INVALID_HANDLE);
    if (!data || !size || *size == 0 || *size > MAX_ACCESS)
        return fail(ERR_INVALID_PARAMETER);
    if (((struct module *)handle)->kind != REMOTE)
        return fail(ERR_INVALID_ADDRESS);
    GC_ERROR status = access_remote(device_of_remote(handle), OP_WRITE, address, data, NULL,
                                    (uint32_t)*size);
    return status == OK ? OK : fail(status);
}

API GC_ERROR GCGetPortInfo(void *handle, int32_t command, int32_t *type, void *out, size_t *size)
{
    if (!is_port(handle))
        return fail(ERR_INVALID_HANDLE);
    enum kind kind = ((struct module *)handle)->kind;
    switch (command) {
    case 0: case 12: return GIVE_TEXT(port_name(kind));
    case 1: return GIVE_TEXT("Leukolux");
    case 2: return GIVE_TEXT("Simulated camera");
    case 3: return GIVE_TEXT("Custom");
    case 4: {
        static const char *const names[] = {"TLSystem", "TLInterface", "TLDevice", "Device",
                                            "TLDataStream"};
        return GIVE_TEXT(names[kind]);
    }
    case 5: case 7: GIVE_BOOL(1);
    case 6: case 9: case 10: GIVE_BOOL(0);
    case 8: GIVE_BOOL(kind == REMOTE);
    case 11: return GIVE_TEXT("1.0");
    default: return fail(ERR_NOT_AVAILABLE);
    }
}

API GC_ERROR GCGetNumPortURLs(void *handle, uint32_t *count)
{
    if (!is_port(handle))
        return fail(ERR_INVALID_HANDLE);
    *count = 1;
    return OK;
}

API GC_ERROR GCGetPortURLInfo(void *handle, uint32_t index, int32_t command, int32_t *type,
                              void *out, size_t *size)
{
    if (!is_port(handle))
        return fail(ERR_INVALID_HANDLE);
    if (index != 0)
        return fail(ERR_INVALID_INDEX);
    enum kind kind = ((struct module *)handle)->kind;
    uint64_t address = 0, length;
    char xml[2048], url[128];
    if (kind == REMOTE) {
        const struct camera *camera = device_of_remote(handle)->camera;
        address = camera->info.xml_address;
        length = camera->info.xml_size;
    } else {
        length = (uint64_t)local_xml(kind, xml, sizeof xml);
    }
    switch (command) {
    case 0:
        snprintf(url, sizeof url, "local:leukolux_%s.xml;%llx;%llx", port_name(kind),
                 (unsigned long long)address, (unsigned long long)length);
        return GIVE_TEXT(url);
    case 1: GIVE_INT(1);
    case 2: GIVE_INT(1);
    case 3: GIVE_INT(1);
    case 4: case 5: GIVE_INT(0);
    case 7: GIVE_U64(address);
    case 8: GIVE_U64(length);
    case 9: GIVE_INT(0);
    case 10:
        snprintf(url, sizeof url, "leukolux_%s.xml", port_name(kind));
        return GIVE_TEXT(url);
    default: return fail(ERR_NOT_AVAILABLE);
    }
}
