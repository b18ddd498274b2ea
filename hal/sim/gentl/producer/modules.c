/* Every open module, and what a handle may be. */
#include "producer.h"

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
struct module *modules, tl = {TL, NULL}, iface = {IF, NULL};
bool tl_open, if_open;
static _Thread_local GC_ERROR last_error;

GC_ERROR fail(GC_ERROR code)
{
    last_error = code;
    return code;
}

GC_ERROR last_failure(void)
{
    return last_error;
}

void enter(struct module *module, enum kind kind)
{
    pthread_mutex_lock(&guard);
    module->kind = kind;
    module->next_module = modules;
    modules = module;
    pthread_mutex_unlock(&guard);
}

void leave(struct module *module)
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
bool is_live(const void *handle)
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

bool is_a(const void *handle, enum kind kind)
{
    return handle && is_live(handle) && ((const struct module *)handle)->kind == kind;
}

GC_ERROR give(const void *value, size_t length, int32_t type, int32_t *type_out, void *out,
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

GC_ERROR give_id(const char *text, char *out, size_t *size)
{
    return give(text, strlen(text) + 1, T_STRING, NULL, out, size);
}
