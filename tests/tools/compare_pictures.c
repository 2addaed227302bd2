/* compare_pictures A B PER_MILLE: exits 0 when both pictures have one size, no byte differs by more than 1, and at most
 * PER_MILLE of a thousand bytes differ; says what it found. */
#include <kontext/kontext.h>

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    kx_error err = {0};
    kx_picture a = {0}, b = {0};
    if (argc != 4) return 2;
    if (kx_picture_load(&a, argv[1], &err) != KX_OK || kx_picture_load(&b, argv[2], &err) != KX_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 2;
    }
    printf("%dx%d against %dx%d", a.width_px, a.height_px, b.width_px, b.height_px);
    int same = a.width_px == b.width_px && a.height_px == b.height_px;
    size_t count = same ? 3 * (size_t)a.width_px * (size_t)a.height_px : 0, differing = 0;
    int largest = 0;
    for (size_t i = 0; i < count; i++) {
        int off = abs(a.rgb[i] - b.rgb[i]);
        differing += off != 0;
        largest = off > largest ? off : largest;
    }
    printf(": %zu of %zu bytes differ, by at most %d\n", differing, count, largest);
    kx_picture_free(&a);
    kx_picture_free(&b);
    return !(same && largest <= 1 && (double)differing * 1000 <= strtod(argv[3], NULL) * (double)count);
}
