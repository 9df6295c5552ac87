#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "cli/doctor.h"
#include "cli/out.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/service/config.h"
#include "common/service/keys.h"

#define FILES_WANTED 4096
/* 2025-01-01: no clock that is right shows less. */
#define CLOCK_LEAST_MS INT64_C(1735689600000)

static const char *const verdicts[] = {"ok", "warn", "fail"};

static void
put(struct buffer *out, const char *name, const char *value)
{
    buffer_printf(out,
        "%c\"%s\":", out->len > 0 && out->data[out->len - 1] == '{' ? ' ' : ',',
        name);
    if (value != NULL)
        buffer_append_json(out, slice_of(value));
    else
        buffer_append_text(out, "null");
}

static void
report_json(struct doctor *doctor, enum doctor_verdict verdict,
    const char *name, const char *advice, const char *text)
{
    struct buffer *out = &doctor->json;
    if (out->len > 0)
        buffer_append_text(out, ",\n ");
    buffer_append_char(out, '{');
    put(out, "check", name);
    put(out, "verdict", verdicts[verdict]);
    put(out, "text", text);
    put(out, "advice", advice);
    buffer_append_char(out, '}');
}

void
doctor_report(struct doctor *doctor, enum doctor_verdict verdict,
    const char *name, const char *advice, const char *format, ...)
{
    char text[1024];
    struct buffer safe = {0};
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    doctor->failures += verdict == DOCTOR_FAIL ? 1 : 0;
    if (doctor->cli->args.json) {
        report_json(doctor, verdict, name, advice, text);
        return;
    }
    out_safe(&safe, slice_of(text), false);
    printf("%s%-5s%s %-13s %s\n", out_colour(stdout, verdicts[verdict]),
        verdicts[verdict], out_plain(stdout), name, safe.data);
    if (advice != NULL && verdict != DOCTOR_OK)
        printf("      %-13s %s\n", "", advice);
    out_flush();
    buffer_clear(&safe);
}

/* --- what is local --- */

static void
check_settings(struct doctor *doctor)
{
    struct buffer errors = {0};
    char *no_words[] = {NULL};
    int none = 0;
    doctor->config =
        config_load(doctor->cli->args.config, &none, no_words, &errors);
    struct slice rest = buffer_slice(&errors);
    while (rest.len > 0) {
        struct slice line = slice_split(&rest, '\n');
        if (line.len > 0)
            doctor_report(doctor, DOCTOR_FAIL, "settings",
                "longhaul config show lists what there is", "%.*s",
                (int)line.len, line.data);
    }
    if (doctor->config != NULL)
        doctor_report(doctor, DOCTOR_OK, "settings", NULL, "readable");
    buffer_clear(&errors);
}

static void
check_keys_file(struct doctor *doctor)
{
    const char *path = doctor->config->keys_file;
    struct buffer errors = {0};
    struct stat found;
    if (path == NULL) {
        doctor_report(doctor, DOCTOR_OK, "access", NULL,
            "no keys: the servers serve this machine alone");
        return;
    }
    struct keys *keys = keys_open(path, &errors);
    if (keys == NULL)
        doctor_report(doctor, DOCTOR_FAIL, "access",
            "longhaul keys new NAME makes the file", "%s",
            errors.data != NULL ? errors.data : path);
    else if (stat(path, &found) == 0 && (found.st_mode & S_IWOTH) != 0)
        doctor_report(doctor, DOCTOR_FAIL, "access", "chmod 600 that file",
            "%s can be written by everybody", path);
    else
        doctor_report(doctor, DOCTOR_OK, "access", NULL, "keys in %s", path);
    keys_free(keys);
    buffer_clear(&errors);
}

static void
check_limits(struct doctor *doctor)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    if (files.rlim_max >= FILES_WANTED)
        doctor_report(doctor, DOCTOR_OK, "open files", NULL,
            "up to %ju for a process", (uintmax_t)files.rlim_max);
    else
        doctor_report(doctor, DOCTOR_WARN, "open files",
            "raise it (ulimit -Hn, LimitNOFILE): each call and each client "
            "takes one",
            "only %ju for a process", (uintmax_t)files.rlim_max);
}

static void
check_clock(struct doctor *doctor)
{
    char now[CLOCK_TEXT_SIZE];
    clock_format_ms(clock_wall_ms(), now);
    if (clock_wall_ms() >= CLOCK_LEAST_MS)
        doctor_report(doctor, DOCTOR_OK, "clock", NULL, "%s", now);
    else
        doctor_report(doctor, DOCTOR_FAIL, "clock",
            "set it; deadlines and certificates depend on it",
            "this machine believes that it is %s", now);
}

/* --- where to look --- */

static char *
in_directory(const char *directory, const char *prefix, const char *name)
{
    struct buffer path = {0};
    buffer_printf(&path, "%s%s/%s", prefix, directory, name);
    return buffer_take(&path);
}

/* Where the Redis of the data directory is, as `up` has written it down. */
static bool
read_data_url(const char *data, char *out, size_t size)
{
    char *path = in_directory(data, "", "redis/url");
    FILE *file = fopen(path, "re");
    size_t len = file != NULL ? fread(out, 1, size - 1, file) : 0;
    if (file != NULL)
        fclose(file);
    out[len] = '\0';
    memory_free(path);
    return len > 0;
}

/* It was asked for by name and is not what is looked at. */
static void
report_data(struct doctor *doctor, const char *data)
{
    struct stat found;
    char *path = in_directory(data, "", "redis/url");
    if (stat(data, &found) != 0)
        doctor_report(doctor, DOCTOR_FAIL, "data",
            "check the path; longhaul up --data makes a directory", "%s: %s",
            data, strerrordesc_np(errno));
    else if (stat(path, &found) != 0)
        doctor_report(doctor, DOCTOR_FAIL, "data",
            "name the directory that longhaul up --data was given",
            "%s is no data directory of longhaul up", data);
    else
        doctor_report(doctor, DOCTOR_WARN, "data",
            "unset redis_url and store_url to look at it",
            "%s is not looked at: the settings name another Redis or store",
            data);
    memory_free(path);
}

/* A data directory of `longhaul up` goes before the defaults of the
 * settings, never before what somebody has set. */
static void
choose_targets(struct doctor *doctor)
{
    const struct config *config = doctor->config;
    const char *data = doctor->cli->args.data;
    char url[512];
    if (strcmp(config->redis_url, "redis://127.0.0.1:6379") == 0 &&
        strcmp(config->store_url, "sqlite:longhaul.db") == 0 &&
        read_data_url(data, url, sizeof(url))) {
        doctor->redis_url = memory_dup(url);
        doctor->store_url = in_directory(data, "sqlite:", "longhaul.db");
        if (strncmp(url, "unix:", 5) != 0)
            doctor->redis_password_file =
                in_directory(data, "", "redis/password");
        doctor_report(
            doctor, DOCTOR_OK, "data", NULL, "%s, of longhaul up", data);
        return;
    }
    if (data != args_data_default)
        report_data(doctor, data);
    doctor->redis_url = memory_dup(config->redis_url);
    doctor->store_url = memory_dup(config->store_url);
    if (config->redis_password_file != NULL)
        doctor->redis_password_file = memory_dup(config->redis_password_file);
}

int
cmd_doctor(struct cli *cli)
{
    struct doctor doctor = {.cli = cli};
    log_set_level(LOG_LEVEL_ERROR);
    check_settings(&doctor);
    if (doctor.config != NULL) {
        check_keys_file(&doctor);
        choose_targets(&doctor);
        doctor_check_redis(&doctor);
        doctor_check_store(&doctor);
        doctor_check_server(&doctor);
        doctor_check_holds(&doctor);
        doctor_check_upstream(&doctor);
    }
    check_limits(&doctor);
    check_clock(&doctor);
    if (cli->args.json)
        printf("[%s]\n", doctor.json.data);
    config_free(doctor.config);
    memory_free(doctor.redis_url);
    memory_free(doctor.redis_password_file);
    memory_free(doctor.store_url);
    buffer_clear(&doctor.json);
    return doctor.failures > 0 ? CLI_ERROR : CLI_OK;
}
