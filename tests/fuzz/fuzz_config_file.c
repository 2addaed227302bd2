/* Any bytes as a configuration file: settings within their limits, or a sentence with a line number. */
#include "base/limits.h"
#include "cli/cli_config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kx_error err = {0};
    kx_cli_arguments arguments = {.command = kx_cli_find_command("serve"), .settings = kx_settings_default()};
    if (size > KX_LIMIT_CONFIG_BYTES) return 0;
    kx_status status = kx_cli_config_apply(&arguments, (const char *)data, size, "k.ini", &err);
    const kx_settings *settings = &arguments.settings;
    if (status != KX_OK && strncmp(err.message, "k.ini:", 6) != 0) abort();
    if (settings->sync_window_ms < 1 || settings->sync_window_ms > 90000) abort();
    if (settings->max_body_bytes < 1024 || settings->price_multi_micro < 0) abort();
    if (settings->concurrency < 1 || settings->handler_threads < 1) abort();
    kx_cli_arguments_free(&arguments);
    return 0;
}
