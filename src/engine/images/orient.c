#include "engine/images/orient.h"

#include <stdlib.h>
#include <string.h>

/* For each orientation where output pixel (x, y) comes from: a corner of the input (right, bottom), then
 * steps. */
typedef struct turn {
    bool swaps;  /* width and height change places: x of the output walks down the input */
    bool right;  /* the walk along the input's x begins at its right edge */
    bool bottom; /* the walk along the input's y begins at its bottom */
} turn;

static const turn turns[9] = {
    [2] = {false, true, false}, [3] = {false, true, true}, [4] = {false, false, true},
    [5] = {true, false, false}, [6] = {true, false, true}, [7] = {true, true, true},
    [8] = {true, true, false},
};

kx_status kx_orient_picture(kx_picture *picture, int orientation, kx_error *err)
{
    kx_status status = KX_OK;
    if (orientation < 2 || orientation > 8) return KX_OK;
    turn turning = turns[orientation];
    ptrdiff_t width = picture->width_px, height = picture->height_px;
    ptrdiff_t out_width = turning.swaps ? height : width, out_height = turning.swaps ? width : height;
    ptrdiff_t across = turning.right ? -3 : 3; /* bytes to the next pixel along the input's x */
    ptrdiff_t down = turning.bottom ? -3 * width : 3 * width; /* and along its y */
    ptrdiff_t step_x = turning.swaps ? down : across, step_y = turning.swaps ? across : down;
    const uint8_t *corner =
        picture->rgb + 3 * ((turning.right ? width - 1 : 0) + (turning.bottom ? height - 1 : 0) * width);
    size_t bytes = (size_t)width * (size_t)height * 3;
    uint8_t *turned = malloc(bytes);
    KX_FAIL_IF(turned == NULL, err, KX_ERR_MEMORY, "out of memory: %zu bytes to turn a picture", bytes);
    /* In bands of rows: a quarter turn reads columns, and a band uses each cache line of the input whole. */
    enum { band = 16 };
    for (ptrdiff_t top = 0; top < out_height; top += band) {
        ptrdiff_t end = top + band < out_height ? top + band : out_height;
        for (ptrdiff_t x = 0; x < out_width; x++)
            for (ptrdiff_t y = top; y < end; y++)
                memcpy(turned + 3 * (y * out_width + x), corner + x * step_x + y * step_y, 3);
    }
    free(picture->rgb);
    *picture = (kx_picture){.width_px = (int)out_width, .height_px = (int)out_height, .rgb = turned};
out:
    return status;
}
