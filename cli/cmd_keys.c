#include <string.h>

#include "cli/cli.h"
#include "cli/out.h"
#include "common/service/config.h"
#include "common/service/keys.h"

/* The file of keys, the caller's to free; NULL with *code, said. */
static char *
keys_path(struct cli *cli, int *code)
{
    struct buffer errors = {0};
    char *no_words[] = {NULL};
    int none = 0;
    *code = CLI_USAGE;
    if (cli->args.key_file != NULL)
        return memory_dup(cli->args.key_file);
    struct config *config = config_load(NULL, &none, no_words, &errors);
    char *path = NULL;
    if (config != NULL && config->keys_file != NULL)
        path = memory_dup(config->keys_file);
    if (config == NULL)
        out_say("%s", errors.data);
    else if (path == NULL)
        cli_usage(cli,
            "which file? Set LONGHAUL_KEYS_FILE, as for the "
            "servers, or give --keys-file");
    config_free(config);
    buffer_clear(&errors);
    return path;
}

/* What a function of keys.h left: `out` to stdout, `errors` to stderr. */
static int
finish(int result, struct buffer *out, struct buffer *errors)
{
    if (result != 0)
        out_say("%s", errors->data != NULL ? errors->data : "failed");
    else
        out_write_line(buffer_slice(out));
    buffer_clear(out);
    buffer_clear(errors);
    return result == 0 ? CLI_OK : CLI_ERROR;
}

int
cmd_keys_new(struct cli *cli)
{
    struct buffer out = {0};
    struct buffer errors = {0};
    unsigned scopes = KEYS_SCOPE_SUBMIT | KEYS_SCOPE_READ;
    int code;
    if (cli->args.scopes != NULL &&
        keys_scope_parse(slice_of(cli->args.scopes), &scopes) != 0)
        return cli_usage(cli, "--scopes is a list of submit, read, operate");
    char *path = keys_path(cli, &code);
    if (path == NULL)
        return code;
    code = finish(keys_file_add(path, cli->argv[0], scopes, &out, &errors),
        &out, &errors);
    if (code == CLI_OK)
        out_tell("this key is not shown again; servers that use %s know it "
                 "within a second",
            path);
    memory_free(path);
    return code;
}

int
cmd_keys_ls(struct cli *cli)
{
    struct buffer out = {0};
    struct buffer errors = {0};
    int code;
    char *path = keys_path(cli, &code);
    if (path == NULL)
        return code;
    code = finish(keys_file_list(path, &out, &errors), &out, &errors);
    memory_free(path);
    return code;
}

int
cmd_keys_rm(struct cli *cli)
{
    struct buffer out = {0};
    struct buffer errors = {0};
    int code;
    char *path = keys_path(cli, &code);
    if (path == NULL)
        return code;
    code = finish(keys_file_remove(path, cli->argv[0], &errors), &out, &errors);
    if (code == CLI_OK)
        out_tell("%s is removed", cli->argv[0]);
    memory_free(path);
    return code;
}
