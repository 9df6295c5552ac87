#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/out.h"
#include "cli/peers.h"
#include "cli/probe.h"
#include "cli/up.h"
#include "common/base/log.h"
#include "common/service/config.h"

#define SIMULATOR_KEY "simulated"

extern char **environ;

static const char up_options[] = "port data workers simulate no-demo "
                                 "stall-timeout config no-color";

/* Settings that `up` gives itself. */
static const char *const own_settings[] = {"--redis-url",
    "--redis-password-file", "--store-url", "--listen", "--worker-listen",
    "--submitter-listen", "--status-listen", "--simulated"};

/* --- options and settings --- */

static bool
is_own_setting(const char *word)
{
    struct slice rest = slice_of(word);
    struct slice name = slice_split(&rest, '=');
    for (size_t i = 0; i < sizeof(own_settings) / sizeof(own_settings[0]); i++)
        if (slice_equal_text(name, own_settings[i]))
            return true;
    return false;
}

/*
 * config_load() takes the words that are settings; what it took is handed on
 * to the servers. `before` and `after` hold the same pointers in the same
 * order, so what is missing in `after` was taken.
 */
static int
keep_settings(struct up *up, char **before, int count, char **after, int left)
{
    for (int i = 1, j = 1; i < count; i++) {
        if (j < left && before[i] == after[j]) {
            j++;
            continue;
        }
        if (is_own_setting(before[i])) {
            out_say("%s: longhaul up chooses this itself; run the programs "
                    "one by one to set it",
                before[i]);
            return CLI_USAGE;
        }
        child_words_add(&up->settings, "%s", before[i]);
    }
    return CLI_OK;
}

/* The path behind -c or --config, which config_load() does not know. */
static const char *
config_path(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--config=", 9) == 0)
            return argv[i] + 9;
        if ((strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--config") == 0) &&
            i + 1 < argc)
            return argv[i + 1];
    }
    return NULL;
}

static int
read_settings(struct up *up, int *argc, char **argv)
{
    struct buffer errors = {0};
    const char *path = config_path(*argc, argv);
    int count = *argc;
    char **before = memory_alloc(((size_t)count + 1) * sizeof(char *));
    memcpy(before, argv, ((size_t)count + 1) * sizeof(char *));
    up->config = config_load(path, argc, argv, &errors);
    int code = CLI_USAGE;
    if (up->config != NULL) {
        code = keep_settings(up, before, count, argv, *argc);
    } else {
        errors.data[errors.len - 1] = '\0';
        out_say("%s", errors.data);
    }
    if (code == CLI_OK && path != NULL) {
        child_words_add(&up->settings, "-c");
        child_words_add(&up->settings, "%s", path);
    }
    memory_free(before);
    buffer_clear(&errors);
    return code;
}

static int
read_options(struct up *up, int argc, char **argv)
{
    struct buffer error = {0};
    int words = argc - 1;
    int code = CLI_USAGE;
    args_init(&up->args);
    if (args_parse(&up->args, up_options, &words, argv + 1, &error) != 0)
        out_say("up: %s (longhaul help up)", error.data);
    else if (words > 0)
        out_say("up: unexpected word: %s", argv[1]);
    else if (up->args.port > 65535)
        out_say("--port is 0 to 65535");
    else if (up->args.workers < 1 || up->args.workers > UP_WORKERS_MAX)
        out_say("--workers is 1 to %d", UP_WORKERS_MAX);
    else if (up->args.stall_ms < 1000)
        out_say("--stall-timeout is at least 1s");
    else
        code = CLI_OK;
    buffer_clear(&error);
    return code;
}

/* NULL: the file's [pool] sections are all there is. */
static const char *
default_base_url(const struct config *config)
{
    for (size_t i = 0; i < config->pool_count; i++) {
        if (strcmp(config->pools[i]->name, CONFIG_POOL_DEFAULT) == 0)
            return config->pools[i]->base_url;
    }
    return NULL;
}

static bool
has_upstream(const struct config *config)
{
    return config->pool_count > 1 || default_base_url(config) == NULL ||
        config->api_key != NULL || config->api_key_file != NULL ||
        strcmp(config->base_url, "https://api.anthropic.com") != 0;
}

/* Where our programs are: beside this one. */
static int
find_folder(struct up *up)
{
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (len <= 0) {
        out_say("cannot find out where this program is: /proc is missing");
        return CLI_ERROR;
    }
    path[len] = '\0';
    *strrchr(path, '/') = '\0';
    up->folder = memory_dup(path);
    return CLI_OK;
}

static char *
program_path(const struct up *up, const char *name)
{
    struct buffer path = {0};
    buffer_printf(&path, "%s/%s", up->folder, name);
    return buffer_take(&path);
}

static int
check_program(const struct up *up, const char *name)
{
    char *path = program_path(up, name);
    int code = access(path, X_OK) == 0 ? CLI_OK : CLI_ERROR;
    if (code != CLI_OK)
        out_say("%s is missing; it belongs beside this program", path);
    memory_free(path);
    return code;
}

/* The servers share ports among processes, so that somebody else's would go
 * unnoticed: ask for it without sharing. */
int
up_check_port(const struct up *up)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)up->args.port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    int failed = bind(fd, (struct sockaddr *)&address, sizeof(address));
    int reason = errno;
    if (fd >= 0)
        close(fd);
    if (failed == 0)
        return CLI_OK;
    if (reason == EADDRINUSE)
        out_say("port %u is in use by another program; use another --port "
                "(0: any free one)",
            (unsigned)up->args.port);
    else
        out_say("cannot listen on port %u: %s", (unsigned)up->args.port,
            strerrordesc_np(reason));
    return CLI_ERROR;
}

int
up_plan(struct up *up, int argc, char **argv)
{
    int code = read_settings(up, &argc, argv);
    if (code == CLI_OK)
        code = read_options(up, argc, argv);
    if (code == CLI_OK)
        code = find_folder(up);
    if (code != CLI_OK)
        return code;
    out_init(up->args.no_color);
    up->simulated = up->args.simulate || !has_upstream(up->config);
    code = check_program(up, "longhaul-worker");
    if (code == CLI_OK && up->simulated)
        code = check_program(up, "fake-claude");
    return code;
}

void
up_plan_clear(struct up *up)
{
    child_words_clear(&up->settings);
    config_free(up->config);
    memory_free(up->folder);
    memory_free(up->simulator_url);
    memory_free(up->url);
}

/* --- what is started --- */

static bool
is_variable(const char *entry, const char *name)
{
    size_t len = strlen(name);
    return strncmp(entry, name, len) == 0 && entry[len] == '=';
}

/* Ours without what leads to Claude: only workers get that. */
static struct child_words
environment(const struct up *up)
{
    static const char *const left_out[] = {"ANTHROPIC_API_KEY",
        "ANTHROPIC_API_KEY_FILE", "ANTHROPIC_BASE_URL", "LONGHAUL_API_KEY",
        "LONGHAUL_API_KEY_FILE"};
    struct child_words words = {0};
    (void)up;
    for (char **entry = environ; *entry != NULL; entry++) {
        bool keep = true;
        for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++)
            keep = keep && !is_variable(*entry, left_out[i]);
        if (keep)
            child_words_add(&words, "%s", *entry);
    }
    if (out_is_terminal(stderr) && getenv("LONGHAUL_LOG") == NULL)
        child_words_add(&words, "LONGHAUL_LOG=warn");
    return words;
}

void
up_start_redis(struct up *up)
{
    char address[CHILD_ADDRESS_MAX];
    struct child_spec spec = {.name = "redis",
        .path = up->redis.program,
        .directory = up->redis.directory,
        .question = UP_REDIS_QUESTION,
        .env = environment(up),
        .group = UP_GROUP_REDIS};
    child_words_add(&spec.argv, "redis-server");
    child_words_add(&spec.argv, "%s", up->redis.conf);
    up->redis_child = child_start(up->children, &spec);
    up_redis_address(&up->redis, address, sizeof(address));
    child_set_address(up->redis_child, address);
}

void
up_start_simulator(struct up *up)
{
    char *path = program_path(up, "fake-claude");
    struct child_spec spec = {.name = "simulator",
        .path = path,
        .question = PROBE_GET("/"),
        .env = environment(up),
        .group = UP_GROUP_SIMULATOR};
    child_words_add(&spec.argv, "fake-claude");
    child_words_add(&spec.argv, "--die-with-parent");
    child_words_add(&spec.argv, "--ttft-ms=150");
    child_words_add(&spec.argv, "--tokens-per-s=400");
    child_words_add(&spec.argv, "--listen=127.0.0.1:0");
    up->simulator = child_start(up->children, &spec);
    memory_free(path);
}

/* Last in argv, so that they go before the environment, the file of settings
 * and what the user has said. */
static void
add_common(const struct up *up, struct child_words *argv)
{
    for (size_t i = 0; i < up->settings.count; i++)
        child_words_add(argv, "%s", up->settings.items[i]);
    child_words_add(argv, "--die-with-parent=%ld", (long)getpid());
    child_words_add(argv, "--redis-url=%s", up->redis.url);
    child_words_add(argv, "--redis-password-file=%s",
        up->redis.password_file != NULL ? up->redis.password_file : "");
    child_words_add(argv, "--store-url=sqlite:%s/longhaul.db", up->dir.path);
    child_words_add(argv, "--simulated=%s", up->simulated ? "true" : "false");
    child_words_add(argv, "--api-key-file=%s",
        !up->simulated && up->config->api_key_file != NULL
            ? up->config->api_key_file
            : "");
}

static void
start_server(struct up *up)
{
    char *path = program_path(up, "longhaul");
    struct child_spec spec = {.name = "server",
        .path = "/proc/self/exe",
        .question = PROBE_GET("/livez"),
        .env = environment(up),
        .group = UP_GROUP_WORK};
    child_words_add(&spec.env, PEERS_VARIABLE "=%s/peers", up->dir.path);
    child_words_add(&spec.argv, "%s", path);
    child_words_add(&spec.argv, "serve");
    add_common(up, &spec.argv);
    child_words_add(
        &spec.argv, "--listen=127.0.0.1:%u", (unsigned)up->args.port);
    up->server = child_start(up->children, &spec);
    memory_free(path);
}

static void
start_worker(struct up *up, unsigned number)
{
    char name[CHILD_NAME_MAX];
    char *path = program_path(up, "longhaul-worker");
    struct child_spec spec = {.name = name,
        .path = path,
        .question = PROBE_GET("/livez"),
        .env = environment(up),
        .group = UP_GROUP_WORK};
    const char *key = up->simulated ? SIMULATOR_KEY : up->config->api_key;
    const char *base_url =
        up->simulated ? up->simulator_url : default_base_url(up->config);
    snprintf(name, sizeof(name), "worker-%u", number);
    if (key != NULL)
        child_words_add(&spec.env, "ANTHROPIC_API_KEY=%s", key);
    child_words_add(&spec.argv, "longhaul-worker");
    add_common(up, &spec.argv);
    child_words_add(&spec.argv, "--worker-listen=127.0.0.1:0");
    if (base_url != NULL)
        child_words_add(&spec.argv, "--base-url=%s", base_url);
    up->workers[number - 1] = child_start(up->children, &spec);
    memory_free(path);
}

void
up_start_servers(struct up *up)
{
    /* Workers first: the server is ready once one of them has made the
     * installation's marker. */
    for (unsigned i = 1; i <= up->args.workers; i++)
        start_worker(up, i);
    start_server(up);
}

void
up_start_demo(struct up *up)
{
    struct child_spec spec = {.name = "demo",
        .path = "/proc/self/exe",
        .env = environment(up),
        .once = true,
        .group = UP_GROUP_WORK};
    if (up->config->client_key != NULL)
        child_words_add(
            &spec.env, "LONGHAUL_API_KEY=%s", up->config->client_key);
    child_words_add(&spec.argv, "longhaul");
    child_words_add(&spec.argv, "demo");
    child_words_add(&spec.argv, "--url=%s", up->url);
    up->demo = child_start(up->children, &spec);
}

void
up_write_peers(struct up *up)
{
    struct buffer text = {0};
    for (unsigned i = 0; i < up->args.workers; i++) {
        const struct child *worker = up->workers[i];
        if (worker != NULL && child_address(worker)[0] != '\0')
            buffer_printf(
                &text, "%s %s\n", child_name(worker), child_address(worker));
    }
    if (text.len > 0 &&
        up_dir_write(&up->dir, "peers", buffer_slice(&text)) != 0)
        log_warn("peers_not_written", LOG_TEXT("directory", up->dir.path));
    buffer_clear(&text);
}
