#include <event2/event.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/doctor.h"
#include "common/base/clock.h"
#include "common/net/redis.h"
#include "common/queue/queue.h"
#include "common/service/config.h"
#include "common/store/store.h"

#define WAIT_MS 3000
#define CLOCK_WARN_MS 2000
#define FREE_WARN_BYTES (UINT64_C(1) << 30)
#define FREE_FAIL_BYTES (UINT64_C(64) << 20)

/* One conversation with Redis or the store. */
struct talk {
    struct doctor *doctor;
    struct event_base *base;
    struct redis *redis;
    struct queue *queue;
    unsigned due; /* answers */
    char version[32];
    int64_t clock_ms; /* how far Redis's clock is ahead of ours */
};

static void
stop_after(struct event_base *base, int64_t ms)
{
    struct timeval limit = {ms / 1000, (ms % 1000) * 1000};
    event_base_loopexit(base, &limit);
}

static void
answered(struct talk *talk)
{
    if (--talk->due == 0)
        event_base_loopbreak(talk->base);
}

/* --- Redis --- */

/* The value of "name:" in the text of INFO. */
static struct slice
info_value(struct slice text, const char *name)
{
    while (text.len > 0) {
        struct slice line = slice_split(&text, '\n');
        struct slice key = slice_split(&line, ':');
        if (slice_equal_text(key, name)) {
            while (line.len > 0 && line.data[line.len - 1] == '\r')
                line.len--;
            return line;
        }
    }
    return SLICE_NULL;
}

static void
on_info(void *arg, const struct redisReply *reply)
{
    struct talk *talk = arg;
    text_copy(talk->version, sizeof(talk->version),
        info_value(redis_reply_slice(reply), "redis_version"));
    answered(talk);
}

static void
on_time(void *arg, const struct redisReply *reply)
{
    struct talk *talk = arg;
    int64_t seconds = 0;
    if (text_parse_i64(redis_reply_slice(redis_reply_at(reply, 0)), 0,
            INT64_MAX / 2000, &seconds) == 0)
        talk->clock_ms = seconds * 1000 - clock_wall_ms();
    answered(talk);
}

static void
on_redis_marker(void *arg, enum queue_status status, struct slice marker)
{
    struct talk *talk = arg;
    if (status == QUEUE_OK)
        text_copy(talk->doctor->redis_marker, DOCTOR_MARKER_SIZE, marker);
    answered(talk);
}

static void
on_state(void *arg, enum redis_state state)
{
    struct talk *talk = arg;
    const struct slice info[] = {slice_of("INFO"), slice_of("server")};
    const struct slice time[] = {slice_of("TIME")};
    if (state == REDIS_REFUSED)
        event_base_loopbreak(talk->base);
    if (state != REDIS_READY || talk->due > 0)
        return;
    talk->due = 3;
    if (redis_command(talk->redis, on_info, talk, 2, info) != 0 ||
        redis_command(talk->redis, on_time, talk, 1, time) != 0 ||
        queue_marker_get(talk->queue, on_redis_marker, talk) != 0)
        event_base_loopbreak(talk->base);
}

static void
report_redis(struct talk *talk)
{
    struct doctor *doctor = talk->doctor;
    bool refused = redis_get_state(talk->redis) == REDIS_REFUSED;
    if (redis_get_state(talk->redis) != REDIS_READY) {
        doctor_report(doctor, DOCTOR_FAIL, "redis",
            refused ? "mend this in redis.conf; without it an accepted job "
                      "could be lost"
                    : "start it (longhaul up has its own), or set "
                      "LONGHAUL_REDIS_URL; for a data directory of longhaul "
                      "up: --data DIR",
            "%s: %s", doctor->redis_url, redis_state_reason(talk->redis));
        return;
    }
    doctor_report(doctor, DOCTOR_OK, "redis", NULL,
        "%s at %s, every write on disk before it is answered", talk->version,
        doctor->redis_url);
    if (llabs(talk->clock_ms) > CLOCK_WARN_MS)
        doctor_report(doctor, DOCTOR_WARN, "clock",
            "let a time service (NTP) set the clocks of both machines",
            "Redis's clock differs from this machine's by %" PRId64 " s",
            talk->clock_ms / 1000);
}

void
doctor_check_redis(struct doctor *doctor)
{
    struct talk talk = {.doctor = doctor, .base = event_base_new()};
    struct redis_options options = {.url = doctor->redis_url,
        .password_file = doctor->redis_password_file,
        .on_state = on_state,
        .arg = &talk};
    talk.redis = redis_new(talk.base, &options);
    talk.queue = queue_new(talk.base, talk.redis);
    stop_after(talk.base, WAIT_MS);
    event_base_dispatch(talk.base);
    report_redis(&talk);
    talk.due = UINT32_MAX; /* late answers stop nothing */
    queue_free(talk.queue);
    redis_free(talk.redis);
    event_base_free(talk.base);
}

/* --- the store --- */

static void
on_store_marker(void *arg, enum store_status status, struct slice marker)
{
    struct talk *talk = arg;
    if (status == STORE_OK)
        text_copy(talk->doctor->store_marker, DOCTOR_MARKER_SIZE, marker);
    answered(talk);
}

static void
report_space(struct doctor *doctor, const struct store_stats *stats)
{
    uint64_t mib = stats->free_bytes >> 20;
    if (stats->free_bytes >= FREE_WARN_BYTES)
        doctor_report(
            doctor, DOCTOR_OK, "disk", NULL, "%" PRIu64 " MiB free", mib);
    else
        doctor_report(doctor,
            stats->free_bytes < FREE_FAIL_BYTES ? DOCTOR_FAIL : DOCTOR_WARN,
            "disk",
            "make room: when it is full, answers wait in Redis and new jobs "
            "are refused",
            "%" PRIu64 " MiB free where the results are", mib);
}

static void
report_markers(struct doctor *doctor)
{
    const char *in_redis = doctor->redis_marker;
    const char *in_store = doctor->store_marker;
    if (in_redis[0] == '\0' && in_store[0] == '\0')
        doctor_report(doctor, DOCTOR_OK, "installation", NULL,
            "new: a worker makes it at its first start");
    else if (in_redis[0] == '\0')
        doctor_report(doctor, DOCTOR_FAIL, "installation",
            "bring Redis's data back, or set accept_empty_redis to go on "
            "without the jobs that were in flight",
            "the result store knows an installation, Redis does not");
    else if (in_store[0] != '\0' && strcmp(in_redis, in_store) != 0)
        doctor_report(doctor, DOCTOR_FAIL, "installation",
            "check LONGHAUL_REDIS_URL and LONGHAUL_STORE_URL",
            "Redis and the result store belong to different installations");
    else
        doctor_report(doctor, DOCTOR_OK, "installation", NULL, "%s", in_redis);
}

void
doctor_check_store(struct doctor *doctor)
{
    struct talk talk = {.doctor = doctor, .base = event_base_new(), .due = 1};
    struct store_stats stats = {0};
    char error[512];
    struct store *store = store_open(
        talk.base, doctor->store_url, STORE_READ, error, sizeof(error));
    if (store == NULL) {
        doctor_report(doctor, DOCTOR_FAIL, "store",
            "check LONGHAUL_STORE_URL, or bring the file back from a backup",
            "%s", error);
        event_base_free(talk.base);
        return;
    }
    store_marker_get(store, on_store_marker, &talk);
    stop_after(talk.base, WAIT_MS);
    event_base_dispatch(talk.base);
    if (talk.due > 0)
        doctor_report(doctor, DOCTOR_FAIL, "store",
            "see who holds the file (fuser), and whether the disk is well",
            "%s does not answer", doctor->store_url);
    else
        doctor_report(
            doctor, DOCTOR_OK, "store", NULL, "%s", store_describe(store));
    store_get_stats(store, &stats);
    if (stats.free_bytes > 0 || stats.file_bytes > 0)
        report_space(doctor, &stats);
    talk.due = UINT32_MAX;
    store_close(store);
    event_base_free(talk.base);
    report_markers(doctor);
}
