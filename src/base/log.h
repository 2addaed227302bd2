/* Warnings: things that the user should know and that stop nothing ("the prompt was cut by 12 tokens").
 * A sink belongs to its caller; the engine keeps no global. A NULL sink is silent. */
#pragma once

typedef struct kx_log {
    void (*warn)(void *user, const char *sentence);
    void *user;
} kx_log;

__attribute__((format(printf, 2, 3))) void kx_log_warn(const kx_log *log, const char *format, ...);
