#include "cli/cli_progress.h"

#include "cli/cli_report.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* ---- Interrupts ---- */

/* The one variable of the program that is not on a stack: a signal handler has no other way to speak. */
static volatile sig_atomic_t interrupted;

static void note_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

void kx_cli_catch_interrupts(void)
{
    /* SA_RESETHAND: the second signal finds the default action, which ends the program. */
    struct sigaction action = {.sa_handler = note_interrupt, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int kx_cli_interrupted(void *unused)
{
    (void)unused;
    return interrupted != 0;
}

/* ---- Bar ---- */

enum { BAR_CELLS = 24, LINE_ROOM = 256 };

static const double least_seconds_between_draws = 0.1;

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static size_t terminal_columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
    return size.ws_col;
}

/* "denoise   3/28 [===>    ]  1.32 s/step, 33 s left" */
static void write_bar(const kx_progress *p, char *line, size_t room)
{
    char bar[BAR_CELLS + 1], image[32] = "", rate[96] = "", left[32];
    uint64_t done = p->done < p->total ? p->done : p->total;
    size_t full = p->total > 0 ? (size_t)((double)done / (double)p->total * BAR_CELLS) : 0;
    for (size_t i = 0; i < BAR_CELLS; i++) bar[i] = i < full ? '=' : i == full ? '>' : ' ';
    bar[BAR_CELLS] = '\0';
    if (p->num_images > 1) snprintf(image, sizeof image, "%u of %u, ", p->image + 1, p->num_images);
    bool steps = strcmp(p->stage, "denoise") == 0;
    if (done > 0 && p->seconds > 0) {
        double each = p->seconds / (double)done;
        kx_cli_format_duration(each * (double)(p->total - done), left);
        if (steps)
            snprintf(rate, sizeof rate, "%.2f s/step, %s left", each, left);
        else
            snprintf(rate, sizeof rate, "%s left", left);
    }
    if (steps)
        snprintf(line, room, "%s%-7s step %" PRIu64 "/%" PRIu64 " [%s] %s", image, p->stage, done, p->total,
                 bar, rate);
    else
        snprintf(line, room, "%s%-7s %3.0f%% [%s] %s", image, p->stage,
                 p->total > 0 ? 100.0 * (double)done / (double)p->total : 0.0, bar, rate);
}

static void draw_bar(kx_cli_progress *progress, const kx_progress *p)
{
    char line[LINE_ROOM];
    double now = now_seconds();
    bool new_stage = progress->stage == NULL || strcmp(progress->stage, p->stage) != 0;
    if (!new_stage && p->done != p->total && now - progress->drawn_at < least_seconds_between_draws) return;
    progress->drawn_at = now;
    progress->stage = p->stage;
    write_bar(p, line, sizeof line);
    size_t columns = terminal_columns();
    if (strlen(line) >= columns) line[columns - 1] = '\0';
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
    progress->bar_is_drawn = true;
}

static void print_line(const kx_progress *p)
{
    double left =
        p->done > 0 && p->done <= p->total ? p->seconds / (double)p->done * (double)(p->total - p->done) : -1;
    json_t *object = json_pack("{s:s,s:I,s:I,s:i,s:i,s:f}", "stage", p->stage, "done", (json_int_t)p->done,
                               "total", (json_int_t)p->total, "image", (int)p->image, "images",
                               (int)p->num_images, "seconds", p->seconds);
    if (p->reused > 0) json_object_set_new(object, "reused", json_integer((json_int_t)p->reused));
    if (left >= 0) json_object_set_new(object, "seconds_left", json_real(left));
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(6));
    if (text != NULL) fprintf(stderr, "%s\n", text);
    free(text);
    json_decref(object);
}

static void show_progress(void *user, const kx_progress *p)
{
    kx_cli_progress *progress = user;
    if (progress->mode == KX_CLI_PROGRESS_BAR) draw_bar(progress, p);
    if (progress->mode == KX_CLI_PROGRESS_JSON) print_line(p);
}

kx_callbacks kx_cli_progress_begin(kx_cli_progress *progress, const kx_cli_arguments *arguments)
{
    *progress = (kx_cli_progress){.mode = (kx_cli_progress_mode)arguments->progress};
    if (progress->mode == KX_CLI_PROGRESS_AUTO)
        progress->mode =
            isatty(STDERR_FILENO) && !arguments->quiet ? KX_CLI_PROGRESS_BAR : KX_CLI_PROGRESS_NONE;
    return (kx_callbacks){.progress = progress->mode == KX_CLI_PROGRESS_NONE ? NULL : show_progress,
                          .cancelled = kx_cli_interrupted,
                          .user = progress};
}

void kx_cli_progress_end(kx_cli_progress *progress)
{
    if (progress->bar_is_drawn) fprintf(stderr, "\r\033[K");
    fflush(stderr);
    progress->bar_is_drawn = false;
}
