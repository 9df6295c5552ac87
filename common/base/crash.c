#include "common/base/crash.h"

#include <stdlib.h>

#ifndef LONGHAUL_TEST

const char *
crash_setup(bool *listed)
{
    *listed = false;
    return getenv("LONGHAUL_CRASH_AT") == NULL
        ? NULL
        : "LONGHAUL_CRASH_AT is set, but this is a release build, which has "
          "no crash points; unset it, or build with `make chaos-build`";
}

#else

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/text.h"

#define NAME_MAX_BYTES 64

static const struct {
    const char *name;
    const char *programs;
} points[] = {
#define CRASH_POINT(name, programs) {name, programs},
#define CRASH_SCRIPT(name, programs) \
    {name ".before", programs}, {name ".effect", programs}, \
        {name ".after", programs},
#include "common/base/crash_points.def"
};
#define POINTS (sizeof(points) / sizeof(points[0]))

static char armed[NAME_MAX_BYTES]; /* "": none */
static uint64_t at_passage;
static int signal_number;
static atomic_uint_fast64_t passages;

static bool
is_known(const char *name)
{
    for (size_t i = 0; i < POINTS; i++) {
        if (strcmp(points[i].name, name) == 0)
            return true;
    }
    return false;
}

void
crash_pass(const char *name, const char *suffix, const char *job)
{
    char whole[NAME_MAX_BYTES];
    char line[NAME_MAX_BYTES + 96];

    if (armed[0] == '\0')
        return;
    snprintf(whole, sizeof(whole), "%s%s", name, suffix);
    if (strcmp(whole, armed) != 0 ||
        atomic_fetch_add(&passages, 1) + 1 != at_passage)
        return;
    int len = snprintf(line, sizeof(line), "crash_point %s %" PRId64 " %s\n",
        whole, clock_wall_ms(), job);
    if (len > 0 && (size_t)len < sizeof(line))
        (void)!write(STDERR_FILENO, line, (size_t)len);
    (void)kill(getpid(), signal_number);
}

static const char *
arm(struct slice value)
{
    struct slice name = slice_split(&value, ':');
    struct slice count = slice_split(&value, ':');

    at_passage = 1;
    signal_number = SIGKILL;
    if (!text_copy(armed, sizeof(armed), name) || !is_known(armed))
        return "LONGHAUL_CRASH_AT names no crash point; `list` shows them";
    if (count.len > 0 && text_parse_u64(count, UINT32_MAX, &at_passage) != 0)
        return "LONGHAUL_CRASH_AT: NAME, NAME:N or NAME:N:stop";
    if (slice_equal_text(value, "stop"))
        signal_number = SIGSTOP;
    else if (value.len > 0)
        return "LONGHAUL_CRASH_AT: NAME, NAME:N or NAME:N:stop";
    return NULL;
}

const char *
crash_setup(bool *listed)
{
    const char *value = getenv("LONGHAUL_CRASH_AT");

    *listed = value != NULL && strcmp(value, "list") == 0;
    if (value == NULL)
        return NULL;
    if (!*listed)
        return arm(slice_of(value));
    for (size_t i = 0; i < POINTS; i++)
        printf("%s %s\n", points[i].name, points[i].programs);
    return NULL;
}

#endif
