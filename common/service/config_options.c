#include "common/service/config_options.h"

#include <string.h>

#include "common/job/options.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define SECOND UINT64_C(1000)
#define HOUR (SECOND * 3600)
#define DAY (HOUR * 24)
#define NO_LIMIT UINT64_C(1000000000000000)

const char *
config_check_web_url(struct slice value)
{
    size_t scheme = slice_starts_with(value, "https://") ? 8
        : slice_starts_with(value, "http://")            ? 7
                                                         : 0;
    if (scheme == 0 || value.len == scheme)
        return "an http:// or https:// address";
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] <= ' ' || value.data[i] > '~')
            return "an address without blanks";
    }
    if (memchr(value.data, '@', value.len) != NULL)
        return "an address without a user name or password";
    if (value.data[value.len - 1] == '/')
        return "an address without a slash at the end";
    return NULL;
}

static const char *
check_redis_url(struct slice value)
{
    if (slice_starts_with(value, "redis://") ||
        slice_starts_with(value, "unix://"))
        return NULL;
    return "redis://HOST:PORT or unix://PATH";
}

static const char *
check_store_url(struct slice value)
{
    if (slice_starts_with(value, "sqlite:") && value.len > strlen("sqlite:"))
        return NULL;
    return "sqlite:PATH";
}

static const char *
check_listen(struct slice value)
{
    static const char *const wanted =
        "ADDRESS:PORT, :PORT (loopback), [::1]:PORT or unix:PATH";
    uint64_t port;
    if (slice_starts_with(value, "unix:"))
        return value.len > strlen("unix:") ? NULL : wanted;
    size_t colon = value.len;
    while (colon > 0 && value.data[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return wanted;
    struct slice digits = slice_make(value.data + colon, value.len - colon);
    return text_parse_u64(digits, 65535, &port) == 0 ? NULL : wanted;
}

static const char *
check_model(struct slice value)
{
    return job_model_is_valid(value) ? NULL : "a model's name";
}

static const char *
check_models(struct slice value)
{
    unsigned count = 0;
    while (value.len > 0) {
        struct slice word = slice_split(&value, ' ');
        if (word.len == 0)
            continue;
        if (!job_model_is_valid(word))
            return "names of models, separated by blanks";
        count++;
    }
    return count <= JOB_FALLBACKS_MAX ? NULL : "at most four models";
}

static const char *
check_fallback_on(struct slice value)
{
    return slice_equal_text(value, "rate_limit") ? NULL : "rate_limit";
}

static const char *
check_header_name(struct slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.data[i];
        if (c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') &&
            (c < 'a' || c > 'z'))
            return "letters, digits and hyphens";
    }
    return value.len <= 64 ? NULL : "at most 64 characters";
}

static const char *
check_origins(struct slice value)
{
    while (value.len > 0) {
        struct slice word = slice_split(&value, ' ');
        if (word.len > 0 && config_check_web_url(word) != NULL)
            return "origins such as https://example.com, separated by "
                   "blanks";
    }
    return NULL;
}

#define AT(member) offsetof(struct config, member)
#define TEXT_OPTION(n, e, member, otherwise, test, text) \
    { \
        .name = n, .env = e, .kind = CONFIG_TEXT, .offset = AT(member), \
        .fallback = otherwise, .check = test, .help = text \
    }
#define PATH_OPTION(n, e, member, text) \
    { \
        .name = n, .env = e, .kind = CONFIG_PATH, .offset = AT(member), \
        .help = text \
    }
#define SECRET_OPTION(n, e, member, text) \
    { \
        .name = n, .env = e, .kind = CONFIG_SECRET, .offset = AT(member), \
        .help = text \
    }
#define BOOL_OPTION(n, e, member, text) \
    { \
        .name = n, .env = e, .kind = CONFIG_BOOL, .offset = AT(member), \
        .fallback = "false", .help = text \
    }
#define NUMBER_OPTION(n, e, k, member, otherwise, low, high, text) \
    { \
        .name = n, .env = e, .kind = CONFIG_##k, .offset = AT(member), \
        .fallback = otherwise, .min = low, .max = high, .help = text \
    }

/* clang-format off */
const struct config_option config_options[] = {
    SECRET_OPTION("api_key", "ANTHROPIC_API_KEY", api_key,
        "Claude API key; only workers keep it"),
    PATH_OPTION("api_key_file", "ANTHROPIC_API_KEY_FILE", api_key_file,
        "file with the Claude API key; read again when it changes"),
    TEXT_OPTION("base_url", "ANTHROPIC_BASE_URL", base_url,
        "https://api.anthropic.com", config_check_web_url,
        "where Claude's API is"),
    PATH_OPTION("ca_file", "LONGHAUL_CA_FILE", ca_file,
        "certificates to trust for Claude's API instead of the system's"),
    BOOL_OPTION("simulated", "LONGHAUL_SIMULATED", simulated,
        "the upstream is the simulator: results are marked as such"),
    TEXT_OPTION("job_header", "LONGHAUL_JOB_HEADER", job_header,
        NULL, check_header_name,
        "name of a request header that tells the upstream the job's id"),
    TEXT_OPTION("redis_url", "LONGHAUL_REDIS_URL", redis_url,
        "redis://127.0.0.1:6379", check_redis_url,
        "Redis: redis://HOST:PORT or unix://PATH"),
    PATH_OPTION("redis_password_file", "LONGHAUL_REDIS_PASSWORD_FILE",
        redis_password_file, "file with Redis's password"),
    TEXT_OPTION("store_url", "LONGHAUL_STORE_URL", store_url,
        "sqlite:longhaul.db", check_store_url, "result store: sqlite:PATH"),
    TEXT_OPTION("submitter_listen", "LONGHAUL_SUBMITTER_LISTEN",
        submitter_listen, "127.0.0.1:8081", check_listen,
        "where longhaul-submitter listens"),
    TEXT_OPTION("status_listen", "LONGHAUL_STATUS_LISTEN", status_listen,
        "127.0.0.1:8082", check_listen, "where longhaul-status listens"),
    TEXT_OPTION("listen", "LONGHAUL_LISTEN", serve_listen,
        "127.0.0.1:8080", check_listen, "where `longhaul serve` listens"),
    TEXT_OPTION("worker_listen", "LONGHAUL_WORKER_LISTEN", worker_listen,
        "127.0.0.1:0", check_listen,
        "where a worker shows health and metrics; port 0: any free one"),
    TEXT_OPTION("public_url", "LONGHAUL_PUBLIC_URL", public_url,
        NULL, config_check_web_url,
        "origin in links and Location; default: the listen address"),
    PATH_OPTION("keys_file", "LONGHAUL_KEYS_FILE", keys_file,
        "who may do what; without it the servers serve loopback only"),
    TEXT_OPTION("cors_origins", "LONGHAUL_CORS_ORIGINS", cors_origins,
        NULL, check_origins,
        "web origins that browsers may call from, separated by blanks"),
    TEXT_OPTION("allowed_hosts", "LONGHAUL_ALLOWED_HOSTS", allowed_hosts,
        NULL, NULL,
        "further Host values that are served, separated by blanks"),
    NUMBER_OPTION("max_connections", "LONGHAUL_MAX_CONNECTIONS", COUNT,
        max_connections, "10000", 1, 1000000,
        "open connections of a server"),
    NUMBER_OPTION("max_body", "LONGHAUL_MAX_BODY", BYTES, max_body_bytes,
        "32MiB", KIB, 64 * MIB,
        "largest request body; Claude takes 32 MiB"),
    NUMBER_OPTION("header_deadline", "LONGHAUL_HEADER_DEADLINE", DURATION,
        header_deadline_ms, "10s", 100, HOUR,
        "within this time a request's headers must have arrived"),
    NUMBER_OPTION("worker_concurrency", "LONGHAUL_WORKER_CONCURRENCY", COUNT,
        worker_concurrency, "256", 1, 100000,
        "calls in flight in one worker process"),
    NUMBER_OPTION("worker_memory", "LONGHAUL_WORKER_MEMORY", BYTES,
        worker_memory_bytes, "1GiB", MIB, NO_LIMIT,
        "bytes of requests that one worker process reads and sends at a "
        "time; beyond it nothing is claimed"),
    TEXT_OPTION("model", "LONGHAUL_MODEL", model,
        "claude-sonnet-5-5", check_model, "for jobs that name no model"),
    TEXT_OPTION("fallback_models", "LONGHAUL_FALLBACK_MODELS",
        fallback_models, NULL, check_models,
        "for jobs that name no fallback_models, separated by blanks"),
    TEXT_OPTION("fallback_on", "LONGHAUL_FALLBACK_ON", fallback_on, NULL,
        check_fallback_on,
        "rate_limit: fallback models are also asked while Claude refuses the "
        "first one for its rate limit; for jobs without fallback_on"),
    NUMBER_OPTION("limit_rpm", "LONGHAUL_LIMIT_RPM", COUNT, limit_rpm,
        "0", 0, NO_LIMIT,
        "requests per minute and model bucket; 0: learnt from the answers"),
    NUMBER_OPTION("limit_itpm", "LONGHAUL_LIMIT_ITPM", COUNT, limit_itpm,
        "0", 0, NO_LIMIT, "input tokens per minute and model bucket"),
    NUMBER_OPTION("limit_otpm", "LONGHAUL_LIMIT_OTPM", COUNT, limit_otpm,
        "0", 0, NO_LIMIT, "output tokens per minute and model bucket"),
    NUMBER_OPTION("limit_percent", "LONGHAUL_LIMIT_PERCENT", COUNT,
        limit_percent, "99", 1, 100,
        "how much of Claude's limits is used; the rest is for others"),
    NUMBER_OPTION("grace", "LONGHAUL_GRACE", DURATION, grace_ms,
        "30s", 0, HOUR,
        "at shutdown: how long calls and requests in flight may take"),
    NUMBER_OPTION("stream_above_tokens", "LONGHAUL_STREAM_ABOVE_TOKENS",
        COUNT, stream_above_tokens, "8192", 0, NO_LIMIT,
        "answers are streamed when max_tokens is at least this"),
    NUMBER_OPTION("max_answer", "LONGHAUL_MAX_ANSWER", BYTES,
        max_answer_bytes, "32MiB", 64 * KIB, 60 * MIB,
        "largest answer that is accepted; up to 60 MiB, so that one that "
        "the store does not take can be parked in Redis and read back"),
    NUMBER_OPTION("retry_base", "LONGHAUL_RETRY_BASE", DURATION,
        retry_base_ms, "1s", 1, HOUR,
        "the first retry waits up to this long, the next twice as long"),
    NUMBER_OPTION("retry_cap", "LONGHAUL_RETRY_CAP", DURATION, retry_cap_ms,
        "60s", 1, DAY, "no retry waits longer, unless Claude says so"),
    NUMBER_OPTION("max_attempts", "LONGHAUL_MAX_ATTEMPTS", COUNT,
        max_attempts, "8", 1, 100, "calls for one job that names no number"),
    NUMBER_OPTION("max_queued_jobs", "LONGHAUL_MAX_QUEUED_JOBS", COUNT,
        max_queued_jobs, "1000000", 1, NO_LIMIT,
        "jobs in flight; beyond, submits are answered 429"),
    NUMBER_OPTION("max_queued_bytes", "LONGHAUL_MAX_QUEUED_BYTES", BYTES,
        max_queued_bytes, "0", 0, NO_LIMIT,
        "stored request bytes in flight; 0: half of Redis's maxmemory, or "
        "2 GiB"),
    NUMBER_OPTION("retention", "LONGHAUL_RETENTION", DURATION, retention_ms,
        "29d", SECOND, 3650 * DAY, "how long ended jobs are kept"),
    NUMBER_OPTION("dead_letter_retention",
        "LONGHAUL_DEAD_LETTER_RETENTION", DURATION,
        dead_letter_retention_ms, "0", 0, 3650 * DAY,
        "how long dead letters are kept; 0: until discarded"),
    BOOL_OPTION("accept_empty_redis", "LONGHAUL_ACCEPT_EMPTY_REDIS",
        accept_empty_redis,
        "go on although Redis came back without its data: jobs that were "
        "in flight are lost"),
    TEXT_OPTION("url", "LONGHAUL_URL", url, "http://127.0.0.1:8080",
        config_check_web_url, "where the command line finds the servers"),
    SECRET_OPTION("client_key", "LONGHAUL_API_KEY", client_key,
        "the command line's key for the servers"),
    {.name = NULL},
};
/* clang-format on */

_Static_assert(
    sizeof(config_options) / sizeof(config_options[0]) <= CONFIG_OPTIONS_MAX,
    "origins have a place for every option");

void
config_flag_name(const struct config_option *option, char *out, size_t size)
{
    size_t len = 0;
    if (option->kind != CONFIG_SECRET && option->env != NULL) {
        text_copy(out, size, slice_of("--"));
        len = 2;
        for (const char *c = option->name; *c != '\0' && len + 1 < size; c++)
            out[len++] = *c == '_' ? '-' : *c;
    }
    out[len] = '\0';
}

static void *
member_at(void *base, const struct config_option *option)
{
    return (char *)base + option->offset;
}

char **
config_text_at(void *base, const struct config_option *option)
{
    return member_at(base, option);
}

uint64_t *
config_number_at(void *base, const struct config_option *option)
{
    return member_at(base, option);
}

bool *
config_bool_at(void *base, const struct config_option *option)
{
    return member_at(base, option);
}

bool
config_kind_is_text(enum config_kind kind)
{
    return kind == CONFIG_TEXT || kind == CONFIG_SECRET || kind == CONFIG_PATH;
}
