/*
 * Speed of the JSON scanner, as MB/s and as a ratio to jansson reading the
 * same bytes (median of five runs each). Needs no server.
 */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/net/json_scan.h"

#define RUNS 5
#define TARGET_BYTES (8u << 20)

static const char prose[] =
    "The customer writes that the export of last month's invoices stops "
    "after the third page, that \\\"nothing happens\\\" when the button is "
    "pressed again, and that the deadline of the auditors is on Friday.\\n";
static const char vietnamese[] =
    "Kh\xC3\xA1"
    "ch h\xC3\xA0ng vi\xE1\xBA\xBFt r\xE1\xBA\xB1ng vi\xE1\xBB\x87"
    "c xu\xE1\xBA\xA5t h\xC3\xB3"
    "a \xC4\x91\xC6\xA1n d\xE1\xBB\xABng l\xE1\xBA\xA1i. ";
static const char chinese[] =
    "\xE5\xAE\xA2\xE6\x88\xB7\xE5\x86\x99\xE9\x81\x93"
    "\xEF\xBC\x8C\xE5\xAF\xBC\xE5\x87\xBA\xE4\xB8\x8A"
    "\xE4\xB8\xAA\xE6\x9C\x88\xE7\x9A\x84\xE5\x8F\x91";
static const char blocks[] =
    "{\"type\":\"text\",\"text\":\"a short line\",\"n\":[1,2.5,-3e2,true]},";
static const char empties[] = "{},[],";
static const char numbers[] = "1234567,0.7,-12e5,";

static void
make_text(struct buffer *out, const char *unit)
{
    buffer_append_text(out, "{\"messages\":\"");
    while (out->len < TARGET_BYTES)
        buffer_append_text(out, unit);
    buffer_append_text(out, "\"}");
}

static void
make_array(struct buffer *out, const char *unit)
{
    buffer_append_text(out, "{\"messages\":[");
    while (out->len < TARGET_BYTES)
        buffer_append_text(out, unit);
    buffer_append_text(out, "null]}");
}

static int
by_value(const void *a, const void *b)
{
    const int64_t *x = a;
    const int64_t *y = b;

    return (*x > *y) - (*x < *y);
}

static double
median_mb_per_s(const struct buffer *in, bool (*once)(const struct buffer *))
{
    int64_t took[RUNS];
    size_t i;

    for (i = 0; i < RUNS; i++) {
        int64_t start = clock_mono_us();

        if (!once(in)) {
            fprintf(stderr, "bench_json_scan: the input is refused\n");
            exit(1);
        }
        took[i] = clock_mono_us() - start;
    }
    qsort(took, RUNS, sizeof(took[0]), by_value);
    return (double)in->len / (double)(took[RUNS / 2] + 1);
}

static bool
scan_once(const struct buffer *in)
{
    return json_scan_all(in->data, in->len, JSON_DEPTH_DEFAULT, NULL) == 0;
}

static bool
jansson_once(const struct buffer *in)
{
    json_error_t error;
    json_t *root =
        json_loadb(in->data, in->len, JSON_REJECT_DUPLICATES, &error);
    bool ok = root != NULL;

    json_decref(root);
    return ok;
}

static void
row(const char *name, void (*make)(struct buffer *, const char *),
    const char *unit)
{
    struct buffer in = {0};
    double scan;
    double jansson;

    make(&in, unit);
    scan = median_mb_per_s(&in, scan_once);
    jansson = median_mb_per_s(&in, jansson_once);
    printf("json_scan %-14s %7.0f MB/s  jansson %5.0f MB/s  ratio %5.1f\n",
        name, scan, jansson, scan / jansson);
    buffer_clear(&in);
}

int
main(void)
{
    row("prose", make_text, prose);
    row("vietnamese", make_text, vietnamese);
    row("chinese", make_text, chinese);
    row("small blocks", make_array, blocks);
    row("empty values", make_array, empties);
    row("numbers", make_array, numbers);
    return 0;
}
