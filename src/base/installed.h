/* Where the folders lie that come with the program. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* name: a folder of the source tree or of an installation's data, such as "models/demo" -> path, at most `room`
 * bytes. Looked for beside the program, in the folder above it (a build folder of the source tree), in
 * ../share/kontext, in the folder that the program was built for, and last in the current folder. False, and
 * `path` is undefined: it is nowhere. */
bool kx_installed_find(const char *name, char *path, size_t room);
