/* The functions of streams: buffers and the frames in them. */
#include "producer.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static void push(struct queue *queue, struct buffer *buffer)
{
    buffer->next = NULL;
    if (queue->last)
        queue->last->next = buffer;
    else
        queue->first = buffer;
    queue->last = buffer;
    queue->length++;
}

struct buffer *pop(struct queue *queue)
{
    struct buffer *buffer = queue->first;
    if (buffer) {
        queue->first = buffer->next;
        if (!queue->first)
            queue->last = NULL;
        queue->length--;
        buffer->next = NULL;
    }
    return buffer;
}

static void drop_from(struct queue *queue, const struct buffer *unwanted)
{
    struct queue kept = {0};
    struct buffer *buffer;
    while ((buffer = pop(queue)))
        if (buffer != unwanted)
            push(&kept, buffer);
    *queue = kept;
}

/* Fill one buffer from the socket; false when the connection is over. */
static bool take_frame(struct stream *stream)
{
    struct frame_header frame;
    if (!receive_all(stream->socket, &frame, sizeof frame))
        return false;
    if (memcmp(frame.magic, "LXf1", 4) || frame.size == 0 || frame.size > MAX_FRAME)
        return false;
    pthread_mutex_lock(&stream->lock);
    struct buffer *buffer = pop(&stream->input);
    stream->count_underrun += !buffer;
    pthread_mutex_unlock(&stream->lock);
    if (!buffer)
        return discard(stream->socket, frame.size);
    size_t part = frame.size < buffer->size ? (size_t)frame.size : buffer->size;
    bool whole = receive_all(stream->socket, buffer->base, part) &&
                 discard(stream->socket, frame.size - part);
    pthread_mutex_lock(&stream->lock);
    if (whole) {
        buffer->frame = frame;
        buffer->filled = part;
        buffer->too_large = part < frame.size;
        buffer->queued = false;
        buffer->fresh = true;
        push(&stream->output, buffer);
        stream->count_delivered++;
        pthread_cond_broadcast(&stream->delivered);
    } else {
        push(&stream->input, buffer);
    }
    pthread_mutex_unlock(&stream->lock);
    return whole;
}

static void *listen_for_frames(void *argument)
{
    struct stream *stream = argument;
    while (take_frame(stream))
        ;
    return NULL;
}

API GC_ERROR DSAnnounceBuffer(void *handle, void *base, size_t size, void *user, void **out)
{
    if (!is_a(handle, STREAM))
        return fail(ERR_INVALID_HANDLE);
    if (!base || size == 0)
        return fail(ERR_INVALID_PARAMETER);
    struct buffer *buffer = calloc(1, sizeof *buffer);
    if (!buffer)
        return fail(ERR_OUT_OF_MEMORY);
    buffer->stream = handle;
    buffer->base = base;
    buffer->size = size;
    buffer->user = user;
    buffer->stream->announced++;
    enter(&buffer->module, BUFFER);
    *out = buffer;
    return OK;
}

static struct buffer *buffer_of(void *stream, void *handle)
{
    struct buffer *buffer = handle;
    return is_a(handle, BUFFER) && buffer->stream == stream ? buffer : NULL;
}

API GC_ERROR DSRevokeBuffer(void *handle, void *buffer_handle, void **base, void **user)
{
    if (!is_a(handle, STREAM))
        return fail(ERR_INVALID_HANDLE);
    struct stream *stream = handle;
    struct buffer *buffer = buffer_of(handle, buffer_handle);
    if (!buffer)
        return fail(ERR_INVALID_BUFFER);
    if (stream->running)
        return fail(ERR_BUSY);
    drop_from(&stream->input, buffer);
    drop_from(&stream->output, buffer);
    if (base)
        *base = buffer->base;
    if (user)
        *user = buffer->user;
    stream->announced--;
    leave(&buffer->module);
    free(buffer);
    return OK;
}

API GC_ERROR DSQueueBuffer(void *handle, void *buffer_handle)
{
    if (!is_a(handle, STREAM))
        return fail(ERR_INVALID_HANDLE);
    struct stream *stream = handle;
    struct buffer *buffer = buffer_of(handle, buffer_handle);
    if (!buffer)
        return fail(ERR_INVALID_BUFFER);
    pthread_mutex_lock(&stream->lock);
    bool already = buffer->queued;
    if (!already) {
        buffer->queued = true;
        buffer->fresh = false;
        push(&stream->input, buffer);
    }
    pthread_mutex_unlock(&stream->lock);
    return already ? fail(ERR_RESOURCE_IN_USE) : OK;
}

API GC_ERROR DSFlushQueue(void *handle, int32_t operation)
{
    if (!is_a(handle, STREAM))
        return fail(ERR_INVALID_HANDLE);
    struct stream *stream = handle;
    struct buffer *buffer;
    pthread_mutex_lock(&stream->lock);
    if (operation == 1 || operation == 2 || operation == 4)
        while ((buffer = pop(&stream->output)))
            if (operation == 2) {
                buffer->queued = true;
                push(&stream->input, buffer);
            }
    if (operation == 4)
        while ((buffer = pop(&stream->input)))
            buffer->queued = false;
    pthread_mutex_unlock(&stream->lock);
    return OK;
}

API GC_ERROR DSStartAcquisition(void *handle, int32_t flags, uint64_t count)
{
    (void)flags;
    (void)count;
    if (!is_a(handle, STREAM))
        return fail(ERR_INVALID_HANDLE);
    struct stream *stream = handle;
    if (stream->running)
        return fail(ERR_RESOURCE_IN_USE);
    bool broken;
    struct timeval forever = {0};
    stream->socket = connect_to(stream->device->camera);
    if (stream->socket < 0)
        return fail(ERR_IO);
    /* Frames come when they come: only the answer to the question has a deadline. */
    if (ask(stream->socket, OP_STREAM, 0, NULL, 0, NULL, 0, &broken) != OK ||
        setsockopt(stream->socket, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever)) {
        close(stream->socket);
        stream->socket = -1;
        return fail(ERR_IO);
    }
    /* A signal belongs to the thread that has a handler for it. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&stream->thread, NULL, listen_for_frames, stream);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        close(stream->socket);
        stream->socket = -1;
        return fail(ERR_OUT_OF_MEMORY);
    }
    stream->running = true;
    return OK;
}

API GC_ERROR DSStopAcquisition(void *handle, int32_t flags)
{
    (void)flags;
    if (!is_a(handle, STREAM))
        return fail(ERR_INVALID_HANDLE);
    struct stream *stream = handle;
    if (stream->running) {
        shutdown(stream->socket, SHUT_RDWR);
        pthread_join(stream->thread, NULL);
        close(stream->socket);
        stream->socket = -1;
        stream->running = false;
    }
    return OK;
}

API GC_ERROR DSClose(void *handle)
{
    if (!is_a(handle, STREAM))
        return fail(ERR_INVALID_HANDLE);
    struct stream *stream = handle;
    DSStopAcquisition(stream, 0);
    DSFlushQueue(stream, 4);
    for (struct module *at = modules, *next; at; at = next) {
        next = at->next_module;
        if (at->kind == BUFFER && ((struct buffer *)at)->stream == stream)
            DSRevokeBuffer(stream, at, NULL, NULL);
    }
    leave(&stream->module);
    stream->device->stream = NULL;
    pthread_mutex_destroy(&stream->lock);
    pthread_cond_destroy(&stream->delivered);
    free(stream);
    return OK;
}

API GC_ERROR DSGetInfo(void *handle, int32_t command, int32_t *type, void *out, size_t *size)
{
    if (!is_a(handle, STREAM))
        return fail(ERR_INVALID_HANDLE);
    struct stream *stream = handle;
    switch (command) {
    case 0: return GIVE_TEXT(STREAM_ID);
    case 1: GIVE_U64(stream->count_delivered);
    case 2: GIVE_U64(stream->count_underrun);
    case 3: GIVE_SIZE(stream->announced);
    case 4: GIVE_SIZE(stream->input.length);
    case 5: GIVE_SIZE(stream->output.length);
    case 8: GIVE_BOOL(stream->running);
    case 9: GIVE_BOOL(0);
    case 10: return GIVE_TEXT("Custom");
    case 12: GIVE_SIZE(1);
    case 13: GIVE_SIZE(1);
    default: return fail(ERR_NOT_AVAILABLE);
    }
}

API GC_ERROR DSGetBufferInfo(void *handle, void *buffer_handle, int32_t command, int32_t *type,
                             void *out, size_t *size)
{
    if (!is_a(handle, STREAM))
        return fail(ERR_INVALID_HANDLE);
    const struct buffer *buffer = buffer_of(handle, buffer_handle);
    if (!buffer)
        return fail(ERR_INVALID_BUFFER);
    const struct frame_header *frame = &buffer->frame;
    switch (command) {
    case 0: GIVE(T_PTR, void *, buffer->base);
    case 1: GIVE_SIZE(buffer->size);
    case 2: GIVE(T_PTR, void *, buffer->user);
    case 3: case 28: GIVE_U64(frame->timestamp_ns);
    case 4: GIVE_BOOL(buffer->fresh);
    case 5: GIVE_BOOL(buffer->queued);
    case 6: GIVE_BOOL(0);
    case 7: GIVE_BOOL(buffer->too_large || (frame->flags & FRAME_INCOMPLETE) != 0);
    case 8: return GIVE_TEXT("Custom");
    case 9: case 27: GIVE_SIZE(buffer->filled);
    case 10: GIVE_SIZE(frame->width);
    case 11: case 22: GIVE_SIZE(frame->height);
    case 12: GIVE_SIZE(frame->x_offset);
    case 13: GIVE_SIZE(frame->y_offset);
    case 14: GIVE_SIZE(frame->x_padding);
    case 15: GIVE_SIZE(0);
    case 16: GIVE_U64(frame->frame_id);
    case 17: GIVE_BOOL(1);
    case 18: GIVE_SIZE(0);
    case 19: GIVE_SIZE(1);
    case 20: GIVE_U64(frame->pixel_format);
    case 21: GIVE_U64(4);
    case 26: GIVE_INT(1);
    case 29: GIVE_BOOL(buffer->too_large);
    case 30: GIVE_BOOL(0);
    default: return fail(ERR_NOT_AVAILABLE);
    }
}
