/* Draws the two sample pictures of the demo: a house on a hill, and a boat on the sea. Plain geometry with
 * soft edges, so that nothing has to be shipped. usage: draw-samples FOLDER */
#include <kontext/kontext.h>

#include <math.h>
#include <stdio.h>

enum { SIDE = 256 };

typedef struct colour {
    double r, g, b;
} colour;

/* Coverage of a pixel by a shape whose signed distance (px, inside negative) is d. */
static double coverage(double d)
{
    return d < -0.5 ? 1.0 : d > 0.5 ? 0.0 : 0.5 - d;
}

static void blend(colour *pixel, colour paint, double amount)
{
    pixel->r += (paint.r - pixel->r) * amount;
    pixel->g += (paint.g - pixel->g) * amount;
    pixel->b += (paint.b - pixel->b) * amount;
}

static double box(double x, double y, double left, double top, double right, double bottom)
{
    return fmax(fmax(left - x, x - right), fmax(top - y, y - bottom));
}

static double disc(double x, double y, double cx, double cy, double radius)
{
    return hypot(x - cx, y - cy) - radius;
}

/* A triangle that points up: base from left to right at `bottom`, tip in the middle at `top`. */
static double gable(double x, double y, double left, double right, double top, double bottom)
{
    double half = (right - left) / 2, height = bottom - top, length = hypot(half, height);
    double side = (fabs(x - (left + right) / 2) * height - (y - top) * half) / length;
    return fmax(side, y - bottom);
}

static colour sky(double y)
{
    return (colour){0.45 + y / 700, 0.68 + y / 1100, 0.93};
}

static colour draw_house(double x, double y)
{
    colour pixel = sky(y);
    blend(&pixel, (colour){1.0, 0.87, 0.35}, coverage(disc(x, y, 205, 48, 24)));
    blend(&pixel, (colour){0.36, 0.62, 0.30}, coverage(disc(x, y, 128, 470, 290)));
    blend(&pixel, (colour){0.93, 0.88, 0.78}, coverage(box(x, y, 76, 120, 180, 206)));
    blend(&pixel, (colour){0.33, 0.38, 0.46}, coverage(gable(x, y, 62, 194, 66, 122)));
    blend(&pixel, (colour){0.48, 0.30, 0.18}, coverage(box(x, y, 116, 156, 140, 206)));
    blend(&pixel, (colour){0.55, 0.77, 0.90}, coverage(box(x, y, 88, 138, 108, 158)));
    blend(&pixel, (colour){0.55, 0.77, 0.90}, coverage(box(x, y, 148, 138, 168, 158)));
    return pixel;
}

static colour draw_boat(double x, double y)
{
    colour pixel = sky(y);
    double wave = 160 + 3 * sin(x / 11.0);
    blend(&pixel, (colour){0.14, 0.38, 0.60}, coverage(wave - y));
    blend(&pixel, (colour){0.97, 0.96, 0.92}, coverage(fmax(gable(x, y, 72, 184, 44, 148), 130 - x)));
    blend(&pixel, (colour){0.90, 0.42, 0.25}, coverage(fmax(gable(x, y, 70, 182, 60, 148), x - 122)));
    blend(&pixel, (colour){0.40, 0.25, 0.15}, coverage(box(x, y, 124, 40, 128, 160)));
    double hull = fmax(fmax(150 - y, y - 186), fmax(60 + (y - 150) * 0.7 - x, x - 196 + (y - 150) * 0.7));
    blend(&pixel, (colour){0.62, 0.16, 0.18}, coverage(hull));
    return pixel;
}

static uint8_t to_byte(double value)
{
    return (uint8_t)lrint(255 * fmin(fmax(value, 0), 1));
}

static kx_status write_sample(const char *folder, int number, colour (*draw)(double x, double y),
                              kx_error *err)
{
    static uint8_t rgb[3 * SIDE * SIDE];
    char path[4096];
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            colour pixel = draw(x + 0.5, y + 0.5);
            uint8_t *to = rgb + 3 * (y * SIDE + x);
            to[0] = to_byte(pixel.r);
            to[1] = to_byte(pixel.g);
            to[2] = to_byte(pixel.b);
        }
    }
    kx_picture picture = {SIDE, SIDE, rgb};
    snprintf(path, sizeof path, "%s/sample-%d.png", folder, number);
    return kx_picture_save(&picture, path, NULL, err);
}

int main(int argc, char **argv)
{
    kx_error err = {0};
    if (argc != 2) {
        fprintf(stderr, "usage: draw-samples FOLDER\n");
        return 2;
    }
    if (write_sample(argv[1], 1, draw_house, &err) != KX_OK ||
        write_sample(argv[1], 2, draw_boat, &err) != KX_OK)
        fprintf(stderr, "error: %s\n", err.message);
    return kx_status_exit(err.status);
}
