/* The functions of events: a stream is its own event, so that closing it drops both. */
#include "producer.h"

#include <time.h>

API GC_ERROR GCRegisterEvent(void *source, int32_t event, void **out)
{
    if (!is_live(source))
        return fail(ERR_INVALID_HANDLE);
    if (event != 1 || !is_a(source, STREAM))
        return fail(ERR_NOT_IMPLEMENTED);
    struct stream *stream = source;
    if (stream->listening)
        return fail(ERR_RESOURCE_IN_USE);
    stream->listening = true;
    *out = stream;
    return OK;
}

API GC_ERROR EventGetInfo(void *handle, int32_t command, int32_t *type, void *out, size_t *size)
{
    if (!is_a(handle, STREAM))
        return fail(ERR_INVALID_HANDLE);
    struct stream *stream = handle;
    switch (command) {
    case 0: GIVE_INT(1);
    case 1: GIVE_SIZE(stream->output.length);
    case 2: GIVE_U64(stream->count_delivered);
    case 3: case 4: GIVE_SIZE(2 * sizeof(void *));
    default: return fail(ERR_NOT_AVAILABLE);
    }
}

API GC_ERROR EventGetData(void *handle, void *out, size_t *size, uint64_t timeout_ms)
{
    if (!is_a(handle, STREAM))
        return fail(ERR_INVALID_HANDLE);
    if (!size || (out && *size < 2 * sizeof(void *)))
        return fail(ERR_BUFFER_TOO_SMALL);
    struct stream *stream = handle;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    if (timeout_ms > 3600000)
        timeout_ms = 3600000;
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&stream->lock);
    while (!stream->output.first && timeout_ms > 0)
        if (pthread_cond_timedwait(&stream->delivered, &stream->lock, &until))
            break;
    struct buffer *buffer = pop(&stream->output);
    pthread_mutex_unlock(&stream->lock);
    if (!buffer)
        return fail(ERR_TIMEOUT);
    void *data[2] = {buffer, buffer->user};
    if (out)
        memcpy(out, data, sizeof data);
    *size = sizeof data;
    return OK;
}

API GC_ERROR EventFlush(void *handle)
{
    return is_a(handle, STREAM) ? DSFlushQueue(handle, 1) : fail(ERR_INVALID_HANDLE);
}
