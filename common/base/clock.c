#include "common/base/clock.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static struct timespec
now(clockid_t clock)
{
    struct timespec ts;
    int failed = clock_gettime(clock, &ts);
    assert(!failed);
    return ts;
}

int64_t
clock_wall_ms(void)
{
    struct timespec ts = now(CLOCK_REALTIME);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t
clock_mono_us(void)
{
    struct timespec ts = now(CLOCK_MONOTONIC);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
clock_mono_ms(void)
{
    return clock_mono_us() / 1000;
}

/* 0000-01-01 and 9999-12-31T23:59:59.999, what four digits can say. */
#define FIRST_MS INT64_C(-62167219200000)
#define LAST_MS INT64_C(253402300799999)

/* By hand, because every line of a log and every job has times. */
static void
put_digits(char *out, int count, int value, char behind)
{
    out[count] = behind;
    while (count > 0) {
        out[--count] = (char)('0' + value % 10);
        value /= 10;
    }
}

void
clock_format_ms(int64_t wall_ms, char *out)
{
    if (wall_ms < FIRST_MS)
        wall_ms = FIRST_MS;
    if (wall_ms > LAST_MS)
        wall_ms = LAST_MS;
    int ms = (int)(wall_ms % 1000);
    if (ms < 0)
        ms += 1000;
    time_t seconds = (time_t)((wall_ms - ms) / 1000);
    struct tm tm;
    struct tm *filled = gmtime_r(&seconds, &tm);
    assert(filled != NULL);
    put_digits(out, 4, tm.tm_year + 1900, '-');
    put_digits(out + 5, 2, tm.tm_mon + 1, '-');
    put_digits(out + 8, 2, tm.tm_mday, 'T');
    put_digits(out + 11, 2, tm.tm_hour, ':');
    put_digits(out + 14, 2, tm.tm_min, ':');
    put_digits(out + 17, 2, tm.tm_sec, '.');
    put_digits(out + 20, 3, ms, 'Z');
    out[24] = '\0';
}

static const char *const weekdays[] = {"Sunday", "Monday", "Tuesday",
    "Wednesday", "Thursday", "Friday", "Saturday", NULL};
static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", NULL};

/* What a pattern collects; the index is the letter's place in FIELDS. */
#define FIELDS "yodhis"
enum field { YEAR, MONTH, DAY, HOUR, MINUTE, SECOND, FIELD_COUNT };

/* Cuts the name at the front of *in off: `len` letters of one of the list, or
 * all of them when len is 0. Its index, or -1. */
static int
take_name(struct slice *in, const char *const *names, size_t len)
{
    for (int i = 0; names[i] != NULL; i++) {
        size_t need = len > 0 ? len : strlen(names[i]);
        if (in->len >= need && memcmp(in->data, names[i], need) == 0) {
            *in = slice_make(in->data + need, in->len - need);
            return i;
        }
    }
    return -1;
}

/* One digit into the field; also a blank in front of it where `blank`. */
static int
take_digit(struct slice *in, int *field, bool blank)
{
    char c = in->len > 0 ? in->data[0] : '\0';
    if (blank && c == ' ')
        c = '0';
    if (c < '0' || c > '9')
        return -1;
    *field = *field * 10 + (c - '0');
    *in = slice_make(in->data + 1, in->len - 1);
    return 0;
}

/*
 * Cuts what the pattern describes off *in. A letter of FIELDS is one digit
 * of that field, `e` a digit of the day or a blank, `b` a month's name, `w`
 * a weekday's first three letters, `W` its name; all else stands for itself.
 */
static int
take_pattern(struct slice *in, const char *pattern, int fields[FIELD_COUNT])
{
    memset(fields, 0, FIELD_COUNT * sizeof(fields[0]));
    for (; *pattern != '\0'; pattern++) {
        const char *field = strchr(FIELDS, *pattern);
        int taken = 0;
        if (field != NULL) {
            taken = take_digit(in, &fields[field - FIELDS], false);
        } else if (*pattern == 'e') {
            taken = take_digit(in, &fields[DAY], true);
        } else if (*pattern == 'b') {
            taken = take_name(in, months, 0);
            fields[MONTH] = taken + 1;
        } else if (*pattern == 'w' || *pattern == 'W') {
            taken = take_name(in, weekdays, *pattern == 'w' ? 3 : 0);
        } else if (in->len > 0 && in->data[0] == *pattern) {
            *in = slice_make(in->data + 1, in->len - 1);
        } else {
            taken = -1;
        }
        if (taken < 0)
            return -1;
    }
    return 0;
}

static int
days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

/* Second 60 is a leap second and counts as the next minute's first. */
static int
fields_to_ms(const int f[FIELD_COUNT], int64_t *wall_ms)
{
    if (f[MONTH] < 1 || f[MONTH] > 12 || f[DAY] < 1 ||
        f[DAY] > days_in_month(f[YEAR], f[MONTH]) || f[HOUR] > 23 ||
        f[MINUTE] > 59 || f[SECOND] > 60)
        return -1;
    struct tm tm = {.tm_year = f[YEAR] - 1900,
        .tm_mon = f[MONTH] - 1,
        .tm_mday = f[DAY],
        .tm_hour = f[HOUR],
        .tm_min = f[MINUTE],
        .tm_sec = f[SECOND]};
    *wall_ms = (int64_t)timegm(&tm) * 1000;
    return 0;
}

/* ".123": milliseconds; further digits are cut. */
static int
take_fraction(struct slice *in, int *ms)
{
    int scale = 100, digits = 0, digit;
    *ms = 0;
    if (in->len == 0 || in->data[0] != '.')
        return 0;
    *in = slice_make(in->data + 1, in->len - 1);
    for (; in->len > 0 && in->data[0] >= '0' && in->data[0] <= '9'; digits++) {
        digit = in->data[0] - '0';
        *ms += digit * scale;
        scale /= 10;
        *in = slice_make(in->data + 1, in->len - 1);
    }
    return digits > 0 ? 0 : -1;
}

/* "Z", "+02:00", "-05:30"; nothing may follow. */
static int
take_offset(struct slice in, int64_t *offset_ms)
{
    int fields[FIELD_COUNT];
    *offset_ms = 0;
    if (slice_equal_nocase(in, "Z"))
        return 0;
    bool west = slice_starts_with(in, "-");
    if (take_pattern(&in, west ? "-hh:ii" : "+hh:ii", fields) != 0 ||
        in.len != 0 || fields[HOUR] > 23 || fields[MINUTE] > 59)
        return -1;
    *offset_ms = (fields[HOUR] * 60 + fields[MINUTE]) * INT64_C(60000);
    if (west)
        *offset_ms = -*offset_ms;
    return 0;
}

int
clock_parse_rfc3339(struct slice in, int64_t *wall_ms)
{
    int fields[FIELD_COUNT], fraction_ms;
    int64_t local_ms, offset_ms;
    struct slice lower = in;
    if (take_pattern(&in, "yyyy-oo-ddThh:ii:ss", fields) != 0) {
        in = lower;
        if (take_pattern(&in, "yyyy-oo-ddthh:ii:ss", fields) != 0)
            return -1;
    }
    if (take_fraction(&in, &fraction_ms) != 0 ||
        take_offset(in, &offset_ms) != 0 ||
        fields_to_ms(fields, &local_ms) != 0)
        return -1;
    *wall_ms = local_ms + fraction_ms - offset_ms;
    return 0;
}

/* RFC 9110 5.6.7: a two-digit year that would lie more than 50 years ahead
 * is the last past year with these digits. */
static int
full_year(int two_digits)
{
    int this_year = 0, year;
    char text[CLOCK_TEXT_SIZE];
    clock_format_ms(clock_wall_ms(), text);
    for (int i = 0; i < 4; i++)
        this_year = this_year * 10 + (text[i] - '0');
    year = this_year - this_year % 100 + two_digits;
    return year > this_year + 50 ? year - 100 : year;
}

int
clock_parse_http_date(struct slice in, int64_t *wall_ms)
{
    static const char *const forms[] = {"w, dd b yyyy hh:ii:ss GMT",
        "W, dd-b-yy hh:ii:ss GMT", "w b ed hh:ii:ss yyyy"};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        int fields[FIELD_COUNT];
        struct slice rest = in;
        if (take_pattern(&rest, forms[i], fields) != 0 || rest.len != 0)
            continue;
        if (i == 1)
            fields[YEAR] = full_year(fields[YEAR]);
        return fields_to_ms(fields, wall_ms);
    }
    return -1;
}
