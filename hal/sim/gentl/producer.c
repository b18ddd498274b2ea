/*
 * A GenTL producer for cameras that are not there.
 *
 * It knows no feature of a camera.  Every `*.sock` beside this library is one camera, served by a
 * process of its own.  Reads and writes of the remote port are asked of that process over one
 * connection; frames come over a second one and are copied into the queued buffers by a thread.
 *
 * The declarations are our own, after the GenTL standard 1.5 of the EMVA; constants have the
 * standard's values.  Wire formats: see protocol.py, which has the same numbers.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the wire formats are little endian"
#endif

#define API __attribute__((visibility("default")))

typedef int32_t GC_ERROR;
typedef uint8_t bool8_t;

enum {
    OK = 0, ERR_ERROR = -1001, ERR_NOT_INITIALIZED = -1002, ERR_NOT_IMPLEMENTED = -1003,
    ERR_RESOURCE_IN_USE = -1004, ERR_ACCESS_DENIED = -1005, ERR_INVALID_HANDLE = -1006,
    ERR_INVALID_ID = -1007, ERR_INVALID_PARAMETER = -1009, ERR_IO = -1010, ERR_TIMEOUT = -1011,
    ERR_ABORT = -1012, ERR_INVALID_BUFFER = -1013, ERR_NOT_AVAILABLE = -1014,
    ERR_INVALID_ADDRESS = -1015, ERR_BUFFER_TOO_SMALL = -1016, ERR_INVALID_INDEX = -1017,
    ERR_OUT_OF_MEMORY = -1021, ERR_BUSY = -1022
};
enum { T_STRING = 1, T_INT32 = 5, T_UINT32 = 6, T_UINT64 = 8, T_PTR = 10, T_BOOL8 = 11,
       T_SIZET = 12 };

#define MAX_CAMERAS 8
#define MAX_TEXT 64
#define MAX_ACCESS (1u << 20)
#define MAX_FRAME (256u << 20)
#define ANSWER_TIMEOUT_S 2
#define STREAM_ID "Stream0"
#define INTERFACE_ID "SimulatedInterface"

/* ---- wire formats, packed and little endian ------------------------------------------------- */

enum { OP_INFO = 1, OP_READ = 2, OP_WRITE = 3, OP_OPEN = 4, OP_STREAM = 5 };
enum { FRAME_INCOMPLETE = 1 };

struct __attribute__((packed)) request {
    char magic[4];
    uint16_t op, zero;
    uint64_t address;
    uint32_t length;
};
struct __attribute__((packed)) answer {
    char magic[4];
    int32_t status;
    uint32_t length;
};
struct __attribute__((packed)) camera_info {
    uint64_t xml_address, xml_size;
    char serial[MAX_TEXT], vendor[MAX_TEXT], model[MAX_TEXT], version[MAX_TEXT], name[MAX_TEXT];
};
struct __attribute__((packed)) frame_header {
    char magic[4];
    uint32_t flags;
    uint64_t frame_id, timestamp_ns;
    uint32_t width, height, x_offset, y_offset, x_padding, pixel_format;
    uint64_t size;
};

/* ---- modules -------------------------------------------------------------------------------- */

enum kind { TL, IF, DEVICE, REMOTE, STREAM, BUFFER };

struct module {
    enum kind kind;
    struct module *next_module;
};
struct camera {
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    struct camera_info info;
    bool present, open;
};
struct device {
    struct module module, remote;
    struct camera *camera;
    struct stream *stream;
    pthread_mutex_t talking;
    int socket;
};
struct buffer {
    struct module module;
    struct buffer *next;
    struct stream *stream;
    void *base, *user;
    size_t size, filled;
    struct frame_header frame;
    bool queued, fresh, too_large;
};
struct queue {
    struct buffer *first, *last;
    size_t length;
};
struct stream {
    struct module module;
    struct device *device;
    pthread_mutex_t lock;
    pthread_cond_t delivered;
    pthread_t thread;
    struct queue input, output;
    uint64_t count_delivered, count_underrun;
    size_t announced;
    int socket;
    bool running, listening;
};

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static struct module *modules;
static struct module tl = {TL, NULL}, iface = {IF, NULL};
static struct camera cameras[MAX_CAMERAS];
static uint32_t camera_count;
static bool initialized, tl_open, if_open;
static _Thread_local GC_ERROR last_error;

static GC_ERROR fail(GC_ERROR code)
{
    last_error = code;
    return code;
}

static void enter(struct module *module, enum kind kind)
{
    pthread_mutex_lock(&guard);
    module->kind = kind;
    module->next_module = modules;
    modules = module;
    pthread_mutex_unlock(&guard);
}

static void leave(struct module *module)
{
    pthread_mutex_lock(&guard);
    for (struct module **at = &modules; *at; at = &(*at)->next_module)
        if (*at == module) {
            *at = module->next_module;
            break;
        }
    pthread_mutex_unlock(&guard);
}

/* A handle is an address that is compared before it is followed. */
static bool is_live(const void *handle)
{
    if (handle == &tl)
        return tl_open;
    if (handle == &iface)
        return if_open;
    bool found = false;
    pthread_mutex_lock(&guard);
    for (const struct module *at = modules; at && !found; at = at->next_module)
        found = at == handle;
    pthread_mutex_unlock(&guard);
    return found;
}

static bool is_a(const void *handle, enum kind kind)
{
    return handle && is_live(handle) && ((const struct module *)handle)->kind == kind;
}

static struct device *device_of_remote(void *handle)
{
    return (struct device *)((char *)handle - offsetof(struct device, remote));
}

/* ---- answers to info commands --------------------------------------------------------------- */

static GC_ERROR give(const void *value, size_t length, int32_t type, int32_t *type_out, void *out,
                     size_t *size)
{
    if (!size)
        return fail(ERR_INVALID_PARAMETER);
    if (type_out)
        *type_out = type;
    if (out) {
        if (*size < length)
            return fail(ERR_BUFFER_TOO_SMALL);
        memcpy(out, value, length);
    }
    *size = length;
    return OK;
}

#define GIVE_TEXT(text) give(text, strlen(text) + 1, T_STRING, type, out, size)
#define GIVE(kind, ctype, value) \
    do { ctype v_ = (ctype)(value); return give(&v_, sizeof v_, kind, type, out, size); } while (0)
#define GIVE_SIZE(value) GIVE(T_SIZET, size_t, value)
#define GIVE_BOOL(value) GIVE(T_BOOL8, bool8_t, value)
#define GIVE_U64(value) GIVE(T_UINT64, uint64_t, value)
#define GIVE_INT(value) GIVE(T_INT32, int32_t, value)

static GC_ERROR give_id(const char *text, char *out, size_t *size)
{
    return give(text, strlen(text) + 1, T_STRING, NULL, out, size);
}

/* ---- talking to a camera's process ---------------------------------------------------------- */

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

static bool receive_all(int socket, void *data, size_t length)
{
    for (char *at = data; length > 0;) {
        ssize_t done = recv(socket, at, length, MSG_WAITALL);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        at += done;
        length -= (size_t)done;
    }
    return true;
}

static bool discard(int socket, uint64_t length)
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

static int connect_to(const struct camera *camera)
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
static GC_ERROR ask(int socket, uint16_t op, uint64_t address, const void *data, uint32_t sent,
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

static GC_ERROR access_remote(struct device *device, uint16_t op, uint64_t address,
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

static bool read_info(struct camera *camera)
{
    bool broken;
    struct camera_info info;
    int fd = connect_to(camera);
    if (fd < 0)
        return false;
    GC_ERROR status = ask(fd, OP_INFO, 0, NULL, 0, &info, sizeof info, &broken);
    close(fd);
    if (status != OK || info.xml_size == 0 || info.xml_size > MAX_ACCESS)
        return false;
    char *texts[] = {info.serial, info.vendor, info.model, info.version, info.name};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        texts[i][MAX_TEXT - 1] = '\0';
    camera->info = info;
    return true;
}

static struct camera *camera_by_id(const char *id)
{
    for (uint32_t i = 0; id && i < camera_count; i++)
        if (!strcmp(cameras[i].info.serial, id))
            return &cameras[i];
    return NULL;
}

/* Which of the sockets beside this library answer?  What went away stays known, but not present. */
static void look_for_cameras(void)
{
    Dl_info self;
    char folder[sizeof cameras->path];
    for (uint32_t i = 0; i < camera_count; i++)
        cameras[i].present = false;
    if (!dladdr(&modules, &self) || strlen(self.dli_fname) >= sizeof folder)
        return;
    strcpy(folder, self.dli_fname);
    char *slash = strrchr(folder, '/');
    if (!slash)
        return;
    *slash = '\0';
    struct dirent **names;
    int found = scandir(folder, &names, NULL, alphasort);
    for (int i = 0; i < found; i++) {
        struct camera camera = {.present = true};
        size_t length = strlen(names[i]->d_name);
        bool is_socket = length > 5 && !strcmp(names[i]->d_name + length - 5, ".sock");
        if (is_socket && strlen(folder) + 1 + length < sizeof camera.path) {
            strcpy(stpcpy(stpcpy(camera.path, folder), "/"), names[i]->d_name);
            if (read_info(&camera)) {
                struct camera *known = camera_by_id(camera.info.serial);
                if (known) {
                    camera.open = known->open;
                    *known = camera;
                } else if (camera_count < MAX_CAMERAS) {
                    cameras[camera_count++] = camera;
                }
            }
        }
        free(names[i]);
    }
    if (found >= 0)
        free(names);
}

static uint32_t present_count(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < camera_count; i++)
        count += cameras[i].present;
    return count;
}

/* ---- library, system and interface ---------------------------------------------------------- */

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
        Dl_info self;
        return GIVE_TEXT(dladdr(&modules, &self) ? self.dli_fname : "");
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
        *code = last_error;
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

API GC_ERROR DevClose(void *handle);

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
    for (uint32_t i = 0; i < camera_count; i++)
        if (cameras[i].present && index-- == 0)
            return give_id(cameras[i].info.serial, id, size);
    return fail(ERR_INVALID_INDEX);
}

static GC_ERROR camera_fact(const struct camera *camera, int32_t command, int32_t *type, void *out,
                            size_t *size)
{
    switch (command) {
    case 0: case 7: return GIVE_TEXT(camera->info.serial);
    case 1: return GIVE_TEXT(camera->info.vendor);
    case 2: case 4: return GIVE_TEXT(camera->info.model);
    case 3: return GIVE_TEXT("Custom");
    case 5: GIVE_INT(!camera->present ? 3 : camera->open ? 4 : 1);
    case 6: return GIVE_TEXT(camera->info.name);
    case 8: return GIVE_TEXT(camera->info.version);
    case 9: GIVE_U64(1000000000);
    default: return fail(ERR_NOT_AVAILABLE);
    }
}

API GC_ERROR IFGetDeviceInfo(void *handle, const char *id, int32_t command, int32_t *type,
                             void *out, size_t *size)
{
    if (!is_a(handle, IF))
        return fail(ERR_INVALID_HANDLE);
    const struct camera *camera = camera_by_id(id);
    return camera ? camera_fact(camera, command, type, out, size) : fail(ERR_INVALID_ID);
}

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

/* ---- ports ---------------------------------------------------------------------------------- */

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

/* ---- device --------------------------------------------------------------------------------- */

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

API GC_ERROR DSClose(void *handle);

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

/* ---- buffers and frames --------------------------------------------------------------------- */

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

static struct buffer *pop(struct queue *queue)
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

/* ---- events: a stream is its own event, so that closing it drops both ------------------------ */

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

/* ---- what the standard lets a producer decline: all its functions must be there ---------------- */

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
