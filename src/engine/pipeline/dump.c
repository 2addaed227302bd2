#include "engine/pipeline/dump.h"

#include "engine/formats/safetensors_writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct kx_dump {
    char *path;
    FILE *spool;
    kx_safetensors_writer writer;
};

static kx_status open_spool(kx_dump *dump, kx_error *err)
{
    kx_status status = KX_OK;
    int fd = -1;
    size_t room = strlen(dump->path) + 16;
    char *name = malloc(room);
    KX_FAIL_IF(name == NULL, err, KX_ERR_MEMORY, "out of memory");
    snprintf(name, room, "%s.spool-XXXXXX", dump->path);
    fd = mkstemp(name);
    KX_FAIL_IF(fd < 0, err, KX_ERR_OUTPUT, "%s: cannot write there: %s", dump->path, strerror(errno));
    unlink(name);
    dump->spool = fdopen(fd, "w+b");
    KX_FAIL_IF(dump->spool == NULL, err, KX_ERR_OUTPUT, "%s: cannot write there: %s", dump->path,
               strerror(errno));
    fd = -1;
out:
    if (fd >= 0) close(fd);
    free(name);
    return status;
}

kx_status kx_dump_open(kx_dump **out, const char *path, kx_error *err)
{
    kx_status status = KX_OK;
    kx_dump *dump = NULL;
    if (path == NULL) goto out;
    dump = calloc(1, sizeof *dump);
    KX_FAIL_IF(dump == NULL, err, KX_ERR_MEMORY, "out of memory");
    dump->path = strdup(path);
    KX_FAIL_IF(dump->path == NULL, err, KX_ERR_MEMORY, "out of memory");
    KX_FAIL_IF(kx_file_is_directory(path), err, KX_ERR_OUTPUT, "%s: is a directory, a file name is expected",
               path);
    KX_TRY(open_spool(dump, err));
    *out = dump;
    dump = NULL;
out:
    kx_dump_close(dump);
    return status;
}

static kx_status spool(kx_dump *dump, const void *data, size_t bytes, kx_error *err)
{
    if (fwrite(data, 1, bytes, dump->spool) == bytes) return KX_OK;
    return kx_error_set(err, KX_ERR_OUTPUT, __FILE__, __LINE__, "%s: cannot write: %s", dump->path,
                        strerror(errno));
}

kx_status kx_dump_add(kx_dump *dump, const char *name, kx_dtype dtype, int rank, const int64_t *shape,
                      const void *data, kx_error *err)
{
    kx_status status = KX_OK;
    if (dump == NULL) return KX_OK;
    size_t bytes = kx_dtype_bytes(dtype);
    for (int i = 0; i < rank; i++) bytes *= (size_t)shape[i];
    KX_TRY(kx_safetensors_writer_declare(&dump->writer, name, dtype, rank, shape, err));
    KX_TRY(spool(dump, data, bytes, err));
out:
    return status;
}

/* One channel of a map, or one row of a matrix, at a time. */
kx_status kx_dump_add_tensor(kx_dump *dump, const char *name, const kx_tensor *tensor, kx_error *err)
{
    kx_status status = KX_OK;
    float *channel = NULL;
    if (dump == NULL) return KX_OK;
    const float *data = kx_tensor_f32(tensor);
    if (tensor->height > 0) {
        KX_TRY(kx_safetensors_writer_declare(&dump->writer, name, KX_F32, 3,
                                             (int64_t[]){tensor->cols, tensor->height, tensor->width}, err));
        channel = malloc((size_t)tensor->rows * sizeof *channel);
        KX_FAIL_IF(channel == NULL, err, KX_ERR_MEMORY, "out of memory");
        for (int64_t c = 0; c < tensor->cols; c++) {
            for (int64_t r = 0; r < tensor->rows; r++) channel[r] = data[r * tensor->stride + c];
            KX_TRY(spool(dump, channel, (size_t)tensor->rows * sizeof *channel, err));
        }
    } else {
        KX_TRY(kx_safetensors_writer_declare(&dump->writer, name, KX_F32, 2,
                                             (int64_t[]){tensor->rows, tensor->cols}, err));
        for (int64_t r = 0; r < tensor->rows; r++)
            KX_TRY(spool(dump, data + r * tensor->stride, (size_t)tensor->cols * sizeof *data, err));
    }
out:
    free(channel);
    return status;
}

kx_status kx_dump_commit(kx_dump *dump, kx_error *err)
{
    kx_status status = KX_OK;
    if (dump == NULL) return KX_OK;
    KX_TRY(kx_safetensors_writer_open(&dump->writer, dump->path, err));
    KX_FAIL_IF(fflush(dump->spool) != 0 || fseek(dump->spool, 0, SEEK_SET) != 0, err, KX_ERR_OUTPUT,
               "%s: cannot write: %s", dump->path, strerror(errno));
    for (;;) {
        char piece[64 * 1024];
        size_t got = fread(piece, 1, sizeof piece, dump->spool);
        if (got == 0) break;
        KX_TRY(kx_safetensors_writer_append(&dump->writer, piece, got, err));
    }
    KX_TRY(kx_safetensors_writer_commit(&dump->writer, err));
out:
    return status;
}

void kx_dump_close(kx_dump *dump)
{
    if (dump == NULL) return;
    kx_safetensors_writer_discard(&dump->writer);
    if (dump->spool != NULL) fclose(dump->spool);
    free(dump->path);
    free(dump);
}
