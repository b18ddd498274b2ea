/*
 * A GenTL producer for simulated cameras.
 *
 * It knows no feature of a camera.  Every `*.sock` next to this library is one camera, served by a
 * process of its own.  Reads and writes of the remote port are asked of that process over one
 * connection; frames come over a second one and are copied into the queued buffers by a thread.
 *
 * The declarations are our own, after the GenTL standard 1.5 of the EMVA; constants have the
 * standard's values.  Wire formats: see protocol.py, which has the same numbers.
 */
#ifndef LEUKOLUX_PRODUCER_H
#define LEUKOLUX_PRODUCER_H

#define _GNU_SOURCE
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/un.h>

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

/* ---- modules.c: every open module, and what a handle may be ---------------------------------- */

extern struct module *modules, tl, iface;
extern bool tl_open, if_open;

GC_ERROR fail(GC_ERROR code);
GC_ERROR last_failure(void);
void enter(struct module *module, enum kind kind);
void leave(struct module *module);
bool is_live(const void *handle);
bool is_a(const void *handle, enum kind kind);

/* ---- answers to info commands: the type, then the value, or only its size -------------------- */

GC_ERROR give(const void *value, size_t length, int32_t type, int32_t *type_out, void *out,
              size_t *size);
GC_ERROR give_id(const char *text, char *out, size_t *size);

#define GIVE_TEXT(text) give(text, strlen(text) + 1, T_STRING, type, out, size)
#define GIVE(kind, ctype, value) \
    do { ctype v_ = (ctype)(value); return give(&v_, sizeof v_, kind, type, out, size); } while (0)
#define GIVE_SIZE(value) GIVE(T_SIZET, size_t, value)
#define GIVE_BOOL(value) GIVE(T_BOOL8, bool8_t, value)
#define GIVE_U64(value) GIVE(T_UINT64, uint64_t, value)
#define GIVE_INT(value) GIVE(T_INT32, int32_t, value)

/* ---- wire.c: one question, one answer -------------------------------------------------------- */

bool receive_all(int socket, void *data, size_t length);
bool discard(int socket, uint64_t length);
int connect_to(const struct camera *camera);
GC_ERROR ask(int socket, uint16_t op, uint64_t address, const void *data, uint32_t sent, void *out,
             uint32_t wanted, bool *broken);
GC_ERROR access_remote(struct device *device, uint16_t op, uint64_t address, const void *data,
                       void *out, uint32_t length);

/* ---- cameras.c: which cameras there are ------------------------------------------------------ */

struct camera *camera_by_id(const char *id);
const struct camera *present_camera(uint32_t index);
uint32_t present_count(void);
void look_for_cameras(void);
GC_ERROR camera_fact(const struct camera *camera, int32_t command, int32_t *type, void *out,
                     size_t *size);
bool library_path(char *out, size_t size);

/* ---- what one file of the standard's functions needs of another ------------------------------ */

struct buffer *pop(struct queue *queue);

API GC_ERROR DevClose(void *handle);
API GC_ERROR DSClose(void *handle);
API GC_ERROR DSFlushQueue(void *handle, int32_t operation);

#endif
