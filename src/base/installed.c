#include "base/installed.h"

#include "base/file.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool join(char *path, size_t room, const char *folder, const char *between, const char *name)
{
    int used = snprintf(path, room, "%s%s%s", folder, between, name);
    return used > 0 && (size_t)used < room && kx_file_is_directory(path);
}

bool kx_installed_find(const char *name, char *path, size_t room)
{
    static const char *const from_program[] = {"/", "/../", "/../share/kontext/"};
    char program[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(program, '/');
    if (slash != NULL) {
        *slash = '\0';
        for (size_t i = 0; i < sizeof from_program / sizeof from_program[0]; i++)
            if (join(path, room, program, from_program[i], name)) return true;
    }
    return join(path, room, KX_INSTALLED_DATA, "/", name) || join(path, room, "", "", name);
}
