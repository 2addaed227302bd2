/* Runs a fuzz target over the files of its seed corpus, so that every test run repeats what was found.
 * usage: fuzz-NAME FOLDER. Prints TAP. */
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat info;
    if (file == NULL) return 0;
    size_t size = fstat(fileno(file), &info) == 0 ? (size_t)info.st_size : 0;
    uint8_t *data = malloc(size > 0 ? size : 1); /* of exactly this size: reading past the end is seen */
    size_t got = data != NULL ? fread(data, 1, size, file) : 0;
    int read_whole = data != NULL && got == size;
    fclose(file);
    if (read_whole) LLVMFuzzerTestOneInput(data, size);
    free(data);
    return read_whole;
}

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    DIR *folder = opendir(argv[1]);
    if (folder == NULL) return 2;
    int count = 0, failed = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[PATH_MAX];
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        int good = replay(path);
        failed += !good;
        printf("%s %d - replay of %s\n", good ? "ok" : "not ok", ++count, entry->d_name);
    }
    closedir(folder);
    printf("1..%d\n", count);
    return failed > 0 || count == 0;
}
