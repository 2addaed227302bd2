/* Times the autoencoder alone: for bench/peers/vae.py, and to see in which level the time goes.
 *
 *     vae-time MODEL encode|decode f32|bf16 SIDE ROUNDS [IN OUT]
 *
 * MODEL is a model folder, whose VAE is loaded; a picture has SIDE x SIDE pixels. IN and OUT are raw f32,
 * channels last: the pixels or the latent; without them the input is random. THREADS and KONTEXT_CPU are read
 * from the environment. Prints the seconds of each round, then those of the last one up to each named tensor.
 */
#include "engine/formats/model_folder.h"
#include "engine/kernels/kernels.h"
#include "engine/model/vae.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double clock_seconds(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static double now(void)
{
    return clock_seconds(CLOCK_MONOTONIC);
}

typedef struct run {
    const kx_vae *vae;
    bool encode;
    kx_tensor pixels, latent;
} run;

static void call(const run *r, kx_ops *ops)
{
    kx_tensor to = r->encode ? r->latent : r->pixels;
    if (r->encode)
        kx_vae_encode(r->vae, ops, &r->pixels, &to);
    else
        kx_vae_decode(r->vae, ops, &r->latent, &to);
}

static void print_trace(void *user, const char *name, const kx_tensor *tensor)
{
    double *last = user, time = now();
    printf("  %-24s %8.3f s\n", name, time - *last);
    (void)tensor;
    *last = time;
}

static kx_tensor new_map(int64_t side, int64_t channels)
{
    kx_tensor map =
        kx_tensor_of(malloc((size_t)(side * side * channels) * sizeof(float)), side * side, channels);
    map.height = map.width = side;
    return map;
}

static void fill(kx_tensor *map, const char *path)
{
    uint32_t state = 1;
    size_t count = (size_t)(map->rows * map->cols);
    FILE *file = path == NULL ? NULL : fopen(path, "rb");
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        kx_tensor_f32(map)[i] = (float)(state >> 9) / 4194304.0f - 1.0f;
    }
    if (file == NULL) return;
    if (fread(map->data, sizeof(float), count, file) != count)
        fprintf(stderr, "vae-time: %s is short\n", path);
    fclose(file);
}

static kx_status time_rounds(const run *r, kx_ops *ops, int rounds, kx_error *err)
{
    kx_status status = KX_OK;
    double last = 0;
    for (int round = 0; round < rounds; round++) {
        double start = last = now();
        double busy = clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
        uint64_t before = ops->flops;
        ops->trace = round == rounds - 1 && rounds > 1 ? print_trace : NULL;
        ops->trace_user = &last;
        call(r, ops);
        KX_TRY(kx_ops_status(ops, err));
        double seconds = now() - start;
        busy = clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - busy;
        printf("%.3f s, %.1f GFLOP/s, %.3f s of processors\n", seconds,
               1e-9 * (double)(ops->flops - before) / seconds, busy);
    }
out:
    return status;
}

int main(int argc, char **argv)
{
    kx_status status = KX_OK;
    kx_error error = {0}, *err = &error;
    kx_model_files *files = NULL;
    kx_vae *vae = NULL;
    kx_pool *pool = NULL;
    kx_scratch measure, scratch = {0};
    if (argc != 6 && argc != 8) {
        fprintf(stderr, "usage: vae-time MODEL encode|decode f32|bf16 SIDE ROUNDS [IN OUT]\n");
        return 2;
    }
    int64_t side = strtoll(argv[4], NULL, 10);
    run r = {.encode = strcmp(argv[2], "encode") == 0,
             .pixels = new_map(side, 3),
             .latent = new_map(side / 8, 16)};
    kx_tensor *from = r.encode ? &r.pixels : &r.latent, *to = r.encode ? &r.latent : &r.pixels;
    fill(from, argc == 8 ? argv[6] : NULL);
    kx_ops ops = {.precision = strcmp(argv[3], "f32") == 0 ? KX_PRECISION_F32 : KX_PRECISION_BF16};
    KX_TRY(kx_model_files_open(&files, argv[1], NULL, err));
    kx_vae_config hints = {.groups = files->configs.vae.norm_num_groups.value,
                           .scaling = (float)files->configs.vae.scaling_factor.value,
                           .shift = (float)files->configs.vae.shift_factor.value};
    KX_TRY(kx_vae_load(&vae, &files->parts[KX_PART_VAE].source, &hints, err));
    r.vae = vae;
    KX_TRY(kx_kernels_choose(getenv("KONTEXT_CPU"), &ops.kernels, err));
    KX_TRY(kx_pool_create(&pool, (unsigned)(getenv("THREADS") ? atoi(getenv("THREADS")) : 0), err));
    kx_scratch_measure(&measure);
    ops.pool = pool;
    ops.scratch = &measure;
    ops.dry = true;
    call(&r, &ops);
    KX_TRY(kx_scratch_open(&scratch, measure.peak, err));
    ops.dry = false;
    ops.scratch = &scratch;
    printf("%.0f MB\n", 1e-6 * (double)measure.peak);
    KX_TRY(time_rounds(&r, &ops, atoi(argv[5]), err));
    FILE *file = argc == 8 ? fopen(argv[7], "wb") : NULL;
    if (file != NULL) {
        fwrite(to->data, sizeof(float), (size_t)(to->rows * to->cols), file);
        fclose(file);
    }
out:
    if (status != KX_OK) fprintf(stderr, "vae-time: %s\n", error.message);
    kx_scratch_close(&scratch);
    kx_pool_destroy(pool);
    kx_vae_free(vae);
    kx_model_files_close(files);
    free(r.pixels.data);
    free(r.latent.data);
    return status == KX_OK ? 0 : 1;
}
