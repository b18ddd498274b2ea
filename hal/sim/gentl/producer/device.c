/* The functions of devices. */
#include "producer.h"

#include <stdlib.h>
#include <unistd.h>

API GC_ERROR IFOpenDevice(void *handle, const char *id, int32_t flags, void **out)
{
    (void)flags;
    if (!is_a(handle, IF))
        return fail(ERR_INVALID_HANDLE);
    struct camera *camera = camera_by_id(id);
    if (!camera)
        return fail(ERR_INVALID_ID);
    if (camera->open)
        return fail(ERR_RESOURCE_IN_USE);
    int fd = connect_to(camera);
    if (fd < 0)
        return fail(ERR_IO);
    bool broken;
    GC_ERROR status = ask(fd, OP_OPEN, 0, NULL, 0, NULL, 0, &broken);
    struct device *device = status == OK ? calloc(1, sizeof *device) : NULL;
    if (!device) {
        close(fd);
        return fail(status == OK ? ERR_OUT_OF_MEMORY : status);
    }
    device->camera = camera;
    device->socket = fd;
    pthread_mutex_init(&device->talking, NULL);
    camera->open = true;
    enter(&device->module, DEVICE);
    enter(&device->remote, REMOTE);
    *out = device;
    return OK;
}

API GC_ERROR DevGetPort(void *handle, void **port)
{
    if (!is_a(handle, DEVICE))
        return fail(ERR_INVALID_HANDLE);
    *port = &((struct device *)handle)->remote;
    return OK;
}

API GC_ERROR DevGetNumDataStreams(void *handle, uint32_t *count)
{
    if (!is_a(handle, DEVICE))
        return fail(ERR_INVALID_HANDLE);
    *count = 1;
    return OK;
}

API GC_ERROR DevGetDataStreamID(void *handle, uint32_t index, char *id, size_t *size)
{
    if (!is_a(handle, DEVICE))
        return fail(ERR_INVALID_HANDLE);
    return index == 0 ? give_id(STREAM_ID, id, size) : fail(ERR_INVALID_INDEX);
}

API GC_ERROR DevGetInfo(void *handle, int32_t command, int32_t *type, void *out, size_t *size)
{
    if (!is_a(handle, DEVICE))
        return fail(ERR_INVALID_HANDLE);
    return camera_fact(((struct device *)handle)->camera, command, type, out, size);
}

API GC_ERROR DevOpenDataStream(void *handle, const char *id, void **out)
{
    if (!is_a(handle, DEVICE))
        return fail(ERR_INVALID_HANDLE);
    struct device *device = handle;
    if (!id || strcmp(id, STREAM_ID))
        return fail(ERR_INVALID_ID);
    if (device->stream)
        return fail(ERR_RESOURCE_IN_USE);
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return fail(ERR_OUT_OF_MEMORY);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&stream->delivered, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&stream->lock, NULL);
    stream->device = device;
    stream->socket = -1;
    device->stream = stream;
    enter(&stream->module, STREAM);
    *out = stream;
    return OK;
}

API GC_ERROR DevClose(void *handle)
{
    if (!is_a(handle, DEVICE))
        return fail(ERR_INVALID_HANDLE);
    struct device *device = handle;
    if (device->stream)
        DSClose(device->stream);
    leave(&device->module);
    leave(&device->remote);
    if (device->socket >= 0)
        close(device->socket);
    device->camera->open = false;
    pthread_mutex_destroy(&device->talking);
    free(device);
    return OK;
}
