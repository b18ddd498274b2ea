/* Talking to a camera's process: one question, one answer. */
#include "producer.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static bool send_all(int socket, const void *data, size_t length)
{
    for (const char *at = data; length > 0;) {
        ssize_t done = send(socket, at, length, MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        at += done;
        length -= (size_t)done;
    }
    return true;
}

bool receive_all(int socket, void *data, size_t length)
{
    for (char *at = data; length > 0;) {
        ssize_t done = recv(socket, at, length, MSG_WAITALL);
        if (done < 0 && errno == EINTR)
            continue;
        if (done == 0)
            errno = ECONNRESET;
        if (done <= 0)
            return false;
        at += done;
        length -= (size_t)done;
    }
    return true;
}

bool discard(int socket, uint64_t length)
{
    char waste[4096];
    while (length > 0) {
        size_t part = length < sizeof waste ? (size_t)length : sizeof waste;
        if (!receive_all(socket, waste, part))
            return false;
        length -= part;
    }
    return true;
}

int connect_to(const struct camera *camera)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, camera->path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = ANSWER_TIMEOUT_S};
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) ||
        connect(fd, (struct sockaddr *)&address, sizeof address)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* One question, one answer; an answer that cannot be right ends the connection. */
GC_ERROR ask(int socket, uint16_t op, uint64_t address, const void *data, uint32_t sent,
             void *out, uint32_t wanted, bool *broken)
{
    struct request request = {{'L', 'X', 'q', '1'}, op, 0, address, sent ? sent : wanted};
    struct answer answer;
    *broken = true;
    if (!send_all(socket, &request, sizeof request) || (sent && !send_all(socket, data, sent)))
        return ERR_IO;
    if (!receive_all(socket, &answer, sizeof answer))
        return errno == EAGAIN || errno == EWOULDBLOCK ? ERR_TIMEOUT : ERR_IO;
    if (memcmp(answer.magic, "LXa1", 4) || answer.status > 0)
        return ERR_IO;
    if (answer.length != (answer.status == OK ? wanted : 0))
        return ERR_IO;
    if (answer.length && !receive_all(socket, out, answer.length))
        return ERR_IO;
    *broken = false;
    return answer.status;
}

GC_ERROR access_remote(struct device *device, uint16_t op, uint64_t address,
                       const void *data, void *out, uint32_t length)
{
    bool broken = false;
    GC_ERROR status = ERR_IO;
    pthread_mutex_lock(&device->talking);
    if (device->socket >= 0) {
        status = op == OP_WRITE ? ask(device->socket, op, address, data, length, NULL, 0, &broken)
                                : ask(device->socket, op, address, NULL, 0, out, length, &broken);
        if (broken) {
            close(device->socket);
            device->socket = -1;
        }
    }
    pthread_mutex_unlock(&device->talking);
    return status;
}
