/* kitty:  ESC _ G f=100,a=T,m=1 ; BASE64 ESC \   in pieces of at most 4096 characters, the last one with m=0
 * iTerm:  ESC ] 1337 ; File=inline=1 : BASE64 BEL
 * others: an upper half block has the colour of the upper pixel, and the lower one's as its background. */
#include "cli/cli_show.h"

#include "cli/cli_report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { COLUMNS_MAX = 100, KITTY_PIECE = 4096, PIECE_BYTES = KITTY_PIECE / 4 * 3 };

static void print_base64(const uint8_t *data, size_t bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes; i += 3) {
        uint32_t group = (uint32_t)data[i] << 16;
        if (i + 1 < bytes) group |= (uint32_t)data[i + 1] << 8;
        if (i + 2 < bytes) group |= data[i + 2];
        putchar(digits[group >> 18]);
        putchar(digits[group >> 12 & 63]);
        putchar(i + 1 < bytes ? digits[group >> 6 & 63] : '=');
        putchar(i + 2 < bytes ? digits[group & 63] : '=');
    }
}

static void print_kitty(const uint8_t *png, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += PIECE_BYTES) {
        size_t piece = bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES;
        printf("\033_G%sm=%d;", at == 0 ? "f=100,a=T," : "", at + piece < bytes);
        print_base64(png + at, piece);
        printf("\033\\");
    }
    putchar('\n');
}

static void print_iterm(const uint8_t *png, size_t bytes)
{
    printf("\033]1337;File=inline=1;size=%zu:", bytes);
    print_base64(png, bytes);
    printf("\a\n");
}

/* Mean colour of the pixels of column `x` of `columns` and row `y` of `rows`. */
static void mean_colour(const kx_picture *picture, size_t x, size_t columns, size_t y, size_t rows,
                        unsigned colour[3])
{
    size_t width = (size_t)picture->width_px, height = (size_t)picture->height_px;
    size_t left = x * width / columns, right = (x + 1) * width / columns;
    size_t top = y * height / rows, bottom = (y + 1) * height / rows;
    if (right == left) right++;
    if (bottom == top) bottom++;
    uint64_t sums[3] = {0};
    for (size_t row = top; row < bottom; row++)
        for (size_t column = left; column < right; column++)
            for (size_t c = 0; c < 3; c++) sums[c] += picture->rgb[3 * (row * width + column) + c];
    for (size_t c = 0; c < 3; c++) colour[c] = (unsigned)(sums[c] / ((right - left) * (bottom - top)));
}

static void print_half_blocks(const kx_picture *picture)
{
    struct winsize window = {0};
    size_t columns = 80;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0) columns = window.ws_col;
    if (columns > COLUMNS_MAX) columns = COLUMNS_MAX;
    if (columns > (size_t)picture->width_px) columns = (size_t)picture->width_px;
    size_t rows = columns * (size_t)picture->height_px / (size_t)picture->width_px / 2 * 2;
    if (rows < 2) rows = 2;
    for (size_t y = 0; y < rows; y += 2) {
        for (size_t x = 0; x < columns; x++) {
            unsigned upper[3], lower[3];
            mean_colour(picture, x, columns, y, rows, upper);
            mean_colour(picture, x, columns, y + 1, rows, lower);
            printf("\033[38;2;%u;%u;%um\033[48;2;%u;%u;%um\xe2\x96\x80", upper[0], upper[1], upper[2],
                   lower[0], lower[1], lower[2]);
        }
        printf("\033[0m\n");
    }
}

static bool environment_is(const char *name, const char *value)
{
    const char *found = getenv(name);
    return found != NULL && strcmp(found, value) == 0;
}

kx_status kx_cli_show_picture(const kx_picture *picture, kx_error *err)
{
    kx_status status = KX_OK;
    uint8_t *png = NULL;
    size_t bytes = 0;
    bool kitty = environment_is("TERM", "xterm-kitty") || environment_is("TERM_PROGRAM", "ghostty");
    bool iterm = environment_is("TERM_PROGRAM", "iTerm.app") || environment_is("TERM_PROGRAM", "WezTerm");
    if (isatty(STDOUT_FILENO) && (kitty || iterm)) {
        kx_save_options options = {.format = KX_FORMAT_PNG};
        KX_TRY(kx_picture_encode(picture, &options, &png, &bytes, err));
        if (kitty)
            print_kitty(png, bytes);
        else
            print_iterm(png, bytes);
    } else {
        print_half_blocks(picture);
    }
    KX_TRY(kx_cli_flush_stdout(err));
out:
    kx_free(png);
    return status;
}
