/* fake-claude: a simulator of Claude's API. See fake-claude --help. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/net/http_server.h"
#include "embedded.h"
#include "tests/fake-claude/record.h"
#include "tests/fake-claude/routes.h"
#include "tests/fake-claude/simulator.h"

#define MAX_CONNECTIONS 20000

static void
on_signal(evutil_socket_t signal, short what, void *arg)
{
    (void)signal;
    (void)what;
    (void)event_base_loopbreak(arg);
}

/* A parent that is gone before the death signal was set counts as well. */
static void
die_with_parent(pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        exit(1);
}

static void
raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Opens what the settings name; NULL after a line on stderr. */
static struct simulator *
open_simulator(const struct settings *settings, struct event_base *base)
{
    struct ledger *ledger = NULL;
    const struct embedded_file *file = embedded_find("schema/models.json");
    struct catalog *catalog =
        file != NULL ? catalog_new(slice_make(file->data, file->len)) : NULL;
    if (catalog == NULL) {
        log_say("schema/models.json is not as it should be");
        return NULL;
    }
    if (settings->record != NULL && record_prepare(settings->record) != 0) {
        log_say("%s: %s", settings->record, strerrorname_np(errno));
        goto fail;
    }
    if (settings->ledger != NULL) {
        ledger = ledger_open(settings->ledger, settings->fsync_ledger);
        if (ledger == NULL) {
            log_say("%s: %s", settings->ledger, strerrorname_np(errno));
            goto fail;
        }
    }
    struct simulator *sim = memory_zalloc(1, sizeof(*sim));
    simulator_init(sim, settings, base, catalog, ledger);
    return sim;
fail:
    catalog_free(catalog);
    return NULL;
}

/* "listening http://127.0.0.1:PORT" for whoever waits on stdout. */
static int
listen_and_say(struct http_server *server, const struct settings *settings)
{
    const char *error = "";
    const char *colon = strrchr(settings->listen, ':');
    int port =
        http_server_listen(server, settings->listen, settings->shared, &error);
    if (port < 0) {
        log_say("%s: %s", settings->listen, error);
        return -1;
    }
    if (port == 0)
        printf("listening %s\n", settings->listen);
    else if (colon == NULL || colon == settings->listen)
        printf("listening http://127.0.0.1:%d\n", port);
    else
        printf("listening http://%.*s:%d\n", (int)(colon - settings->listen),
            settings->listen, port);
    return fflush(stdout) == 0 ? 0 : -1;
}

static int
serve(struct event_base *base, const struct settings *settings)
{
    struct http_limits limits = {.max_connections = MAX_CONNECTIONS,
        .header_deadline_ms = 10000,
        .idle_timeout_ms = 300000,
        .body_grace_ms = 5000,
        .body_min_bytes_per_s = 1024,
        .write_stall_ms = 60000,
        .max_write_bytes = 262144};
    struct simulator *sim = open_simulator(settings, base);
    if (sim == NULL)
        return 1;
    struct http_server *server = http_server_new(base, &limits, NULL);
    struct event *term = evsignal_new(base, SIGTERM, on_signal, base);
    struct event *interrupt = evsignal_new(base, SIGINT, on_signal, base);
    http_server_mount(server, routes_api, sim);
    if (settings->control)
        http_server_mount(server, routes_control, sim);
    int result = 1;
    if (event_add(term, NULL) == 0 && event_add(interrupt, NULL) == 0 &&
        listen_and_say(server, settings) == 0)
        result = event_base_dispatch(base) < 0 ? 1 : 0;
    sim->stopping = true;
    http_server_free(server);
    event_free(interrupt);
    event_free(term);
    simulator_clear(sim);
    memory_free(sim);
    return result;
}

int
main(int argc, char **argv)
{
    struct settings settings;
    struct buffer text = {0};
    pid_t parent = getppid();
    int result = 0;
    memory_install_hooks();
    log_init("fake-claude");
    if (settings_read(&settings, argc, argv, &text) != 0) {
        log_say("%s", text.data);
        result = 2;
    } else if (settings.help) {
        settings_help(&text);
        (void)fwrite(text.data, 1, text.len, stdout);
    } else {
        if (settings.die_with_parent)
            die_with_parent(parent);
        raise_descriptor_limit();
        struct event_base *base = event_base_new();
        result = base != NULL ? serve(base, &settings) : 1;
        if (base != NULL)
            event_base_free(base);
    }
    buffer_clear(&text);
    return result;
}
