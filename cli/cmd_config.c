#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/out.h"
#include "common/service/config.h"
#include "common/service/keys.h"
#include "common/service/service.h"

/* Takes "NAME" (a flag) or "NAME VALUE" out of argv; whether it was there. */
static bool
take_flag(int *argc, char **argv, const char *name)
{
    int kept = 0;
    for (int i = 0; i < *argc; i++) {
        if (strcmp(argv[i], name) != 0)
            argv[kept++] = argv[i];
    }
    bool found = kept < *argc;
    *argc = kept;
    return found;
}

static const char *
take_path(int *argc, char **argv)
{
    const char *path = NULL;
    int kept = 0;
    for (int i = 0; i < *argc; i++) {
        if (strncmp(argv[i], "--config=", 9) == 0)
            path = argv[i] + 9;
        else if ((strcmp(argv[i], "-c") == 0 ||
                     strcmp(argv[i], "--config") == 0) &&
            i + 1 < *argc)
            path = argv[++i];
        else
            argv[kept++] = argv[i];
    }
    *argc = kept;
    return path;
}

static void
say_all(struct buffer *errors)
{
    struct slice rest = buffer_slice(errors);
    while (rest.len > 0) {
        struct slice line = slice_split(&rest, '\n');
        if (line.len > 0)
            out_say("%.*s", (int)line.len, line.data);
    }
    buffer_clear(errors);
}

/* argv[0] is a command's name. NULL with every error said. */
static struct config *
load(int argc, char **argv)
{
    struct buffer errors = {0};
    const char *path = take_path(&argc, argv);
    struct config *config = config_load(path, &argc, argv, &errors);
    say_all(&errors);
    if (config != NULL && argc > 1) {
        out_say("unknown argument %s; longhaul config show lists the settings",
            argv[1]);
        config_free(config);
        config = NULL;
    }
    return config;
}

/* What the servers would refuse at their start. */
static bool
would_start(const struct config *config)
{
    const char *const listeners[] = {config->submitter_listen,
        config->status_listen, config->serve_listen, config->worker_listen};
    struct buffer errors = {0};
    struct keys *keys = keys_open(config->keys_file, &errors);
    bool fine = keys != NULL;
    for (size_t i = 0; keys != NULL && i < 4; i++) {
        if (service_check_listen(listeners[i], keys, &errors) != 0)
            fine = false;
    }
    keys_free(keys);
    say_all(&errors);
    return fine;
}

int
cmd_config_check(int argc, char **argv)
{
    struct config *config = load(argc, argv);
    if (config == NULL)
        return CLI_USAGE;
    bool fine = would_start(config);
    config_free(config);
    if (!fine)
        return CLI_USAGE;
    puts("the settings are fine");
    return out_flush() ? CLI_OK : CLI_ERROR;
}

int
cmd_config_show(int argc, char **argv)
{
    struct buffer out = {0};
    bool origin = take_flag(&argc, argv, "--origin");
    bool json = take_flag(&argc, argv, "--json");
    struct config *config = load(argc, argv);
    if (config == NULL)
        return CLI_USAGE;
    config_show(config, origin, json, &out);
    out_write_line(buffer_slice(&out));
    buffer_clear(&out);
    config_free(config);
    return out_flush() ? CLI_OK : CLI_ERROR;
}

int
cmd_config_document(int argc, char **argv)
{
    struct buffer out = {0};
    (void)argc;
    (void)argv;
    config_document(&out);
    out_write(buffer_slice(&out));
    buffer_clear(&out);
    return out_flush() ? CLI_OK : CLI_ERROR;
}

int
cmd_version(struct cli *cli)
{
    (void)cli;
    puts("longhaul " LONGHAUL_VERSION);
    return out_flush() ? CLI_OK : CLI_ERROR;
}
