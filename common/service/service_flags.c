#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/service/config.h"
#include "common/service/service_private.h"

#define HEALTH_TIMEOUT_S 3
#define PID_MAX INT64_C(4194304)

static void
print_help(const struct service_program *program)
{
    struct buffer out = {0};
    buffer_printf(&out,
        "%s: %s\n\nusage: %s [-c FILE] [SETTING...]\n\n"
        "  -c, --config FILE      settings (default: longhaul.conf, if it "
        "exists)\n"
        "  --check                check the settings and end\n"
        "  --health               ask the running program whether it is "
        "ready and end\n"
        "  --die-with-parent[=PID]  end when the process that started it "
        "ends\n"
        "  --version, --help\n\n",
        program->name, program->summary, program->name);
    config_help(program->name, &out);
    fwrite(out.data, 1, out.len, stdout);
    buffer_clear(&out);
}

/* The value of "--name VALUE" or "--name=VALUE" at argv[*i], or NULL. */
static const char *
value_of(const char *name, int argc, char **argv, int *i)
{
    size_t len = strlen(name);
    if (strncmp(argv[*i], name, len) == 0 && argv[*i][len] == '=')
        return argv[*i] + len + 1;
    if (strcmp(argv[*i], name) == 0 && *i + 1 < argc)
        return argv[++*i];
    return NULL;
}

static bool
take_parent(const char *word, struct service_flags *flags)
{
    static const char name[] = "--die-with-parent";
    size_t len = sizeof(name) - 1;
    if (strncmp(word, name, len) != 0)
        return false;
    flags->die_with_parent = true;
    if (word[len] == '\0')
        return true;
    return word[len] == '=' &&
        text_parse_i64(slice_of(word + len + 1), 1, PID_MAX, &flags->parent) ==
        0;
}

/* Whether the word was one of these flags. */
static bool
take_word(int argc, char **argv, int *i, struct service_flags *flags)
{
    const char *path = value_of("--config", argc, argv, i);
    if (path == NULL)
        path = value_of("-c", argc, argv, i);
    if (path != NULL)
        flags->config_path = path;
    else if (strcmp(argv[*i], "--check") == 0)
        flags->check = true;
    else if (strcmp(argv[*i], "--health") == 0)
        flags->health = true;
    else
        return take_parent(argv[*i], flags);
    return true;
}

int
service_flags_take(int *argc, char **argv,
    const struct service_program *program, struct service_flags *flags,
    int *exit_code)
{
    int kept = *argc > 0 ? 1 : 0;
    *exit_code = SERVICE_EXIT_OK;
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(program);
            return -1;
        }
        if (strcmp(argv[i], "--version") == 0) {
            printf("%s %s\n", program->name, LONGHAUL_VERSION);
            return -1;
        }
        if (!take_word(*argc, argv, &i, flags))
            argv[kept++] = argv[i];
    }
    if (*argc > 0)
        argv[kept] = NULL;
    *argc = kept;
    return 0;
}

/* --- asking a running program --- */

static int
connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!text_copy(address.sun_path, sizeof(address.sun_path), slice_of(path)))
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 &&
        connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int
connect_tcp(const char *address)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char host[256];
    struct slice name = service_address_host(address);
    bool any = name.len == 0 || slice_equal_text(name, "0.0.0.0") ||
        slice_equal_text(name, "::");
    if (!text_copy(host, sizeof(host), any ? slice_of("127.0.0.1") : name) ||
        getaddrinfo(host, strrchr(address, ':') + 1, &hints, &found) != 0)
        return -1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
        close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

int
service_health_ask(const char *address)
{
    static const char request[] = "GET /readyz HTTP/1.1\r\n"
                                  "Host: localhost\r\n"
                                  "Connection: close\r\n\r\n";
    struct timeval limit = {.tv_sec = HEALTH_TIMEOUT_S};
    char answer[13] = "";
    size_t len = 0;
    int fd = slice_starts_with(slice_of(address), "unix:")
        ? connect_unix(address + strlen("unix:"))
        : connect_tcp(address);
    if (fd < 0) {
        log_say("nothing listens at %s", address);
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    ssize_t step = send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
    while (step > 0 && len < sizeof(answer) - 1) {
        step = recv(fd, answer + len, sizeof(answer) - 1 - len, 0);
        len += step > 0 ? (size_t)step : 0;
    }
    close(fd);
    bool ready = memcmp(answer, "HTTP/1.1 200", sizeof(answer) - 1) == 0;
    if (!ready)
        log_say("the program at %s is not ready", address);
    return ready ? 0 : -1;
}
