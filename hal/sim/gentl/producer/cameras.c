/* Which cameras there are: those whose sockets lie next to this library. */
#include "producer.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static struct camera cameras[MAX_CAMERAS];
static uint32_t camera_count;

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

struct camera *camera_by_id(const char *id)
{
    for (uint32_t i = 0; id && i < camera_count; i++)
        if (!strcmp(cameras[i].info.serial, id))
            return &cameras[i];
    return NULL;
}

bool library_path(char *out, size_t size)
{
    Dl_info self;
    if (!dladdr(&cameras, &self) || strlen(self.dli_fname) >= size)
        return false;
    strcpy(out, self.dli_fname);
    return true;
}

/* Which of the sockets next to this library answer?  What went away stays known but absent. */
void look_for_cameras(void)
{
    char folder[sizeof cameras->path];
    for (uint32_t i = 0; i < camera_count; i++)
        cameras[i].present = false;
    if (!library_path(folder, sizeof folder))
        return;
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

uint32_t present_count(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < camera_count; i++)
        count += cameras[i].present;
    return count;
}

const struct camera *present_camera(uint32_t index)
{
    for (uint32_t i = 0; i < camera_count; i++)
        if (cameras[i].present && index-- == 0)
            return &cameras[i];
    return NULL;
}

GC_ERROR camera_fact(const struct camera *camera, int32_t command, int32_t *type, void *out,
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
