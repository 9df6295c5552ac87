#include <stdio.h>

#include "cli/out.h"
#include "cli/up.h"
#include "common/base/clock.h"
#include "common/service/config.h"

void
up_say_hello(const struct up *up)
{
    out_tell("longhaul %s", LONGHAUL_VERSION);
    if (up->simulated)
        out_tell("upstream    SIMULATOR: %s; answers are not Claude's",
            up->args.simulate ? "as --simulate asks" : "there is no API key");
    for (size_t i = 0; i < up->config->pool_count && !up->simulated; i++)
        out_tell("upstream    %s%s%s%s", up->config->pools[i]->base_url,
            up->config->pool_count > 1 ? " (" : "",
            up->config->pool_count > 1 ? up->config->pools[i]->name : "",
            up->config->pool_count > 1 ? ")" : "");
    out_tell("data        %s%s", up->dir.path, up->dir.is_new ? " (new)" : "");
}

void
up_say_ready(const struct up *up)
{
    char took[32];
    bool keys = up->config->keys_file != NULL && up->config->keys_file[0];
    text_format_duration(clock_mono_ms() - up->started_ms, took, sizeof(took));
    printf("ready %s\n", up->url);
    out_flush();
    out_tell("serving     %s (after %s)", up->url, took);
    if (keys)
        out_tell("keys        %s (longhaul keys new NAME makes one)",
            up->config->keys_file);
    out_tell("try         curl -i %s/v1/jobs -H 'content-type: "
             "application/json'%s -d '{\"message\":\"Say hello.\"}'",
        up->url, keys ? " -H 'x-api-key: KEY'" : "");
    out_tell("try         %s%s/longhaul submit --url %s --wait --message "
             "'Say hello.'",
        keys ? "LONGHAUL_API_KEY=KEY " : "", up->folder, up->url);
    out_tell("stop        Ctrl-C; everything is kept in %s", up->dir.path);
}
