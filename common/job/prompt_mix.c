#include "common/job/prompt_mix.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ESCAPE_LENGTH 6
/* How far one answer moves the rates. */
#define STEP 0.25
#define RATE_MIN 0.02
#define RATE_MAX 4.0

static void
count_bytes(struct prompt_mix *mix, struct slice text)
{
    uint64_t follow = 0;
    uint64_t lead_two = 0;
    uint64_t lead_more = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];

        follow += (c & 0xC0) == 0x80;
        lead_two += (c & 0xE0) == 0xC0;
        lead_more += c >= 0xE0;
    }
    mix->count[PROMPT_ASCII] += text.len - follow - lead_two - lead_more;
    mix->count[PROMPT_TWO] += 2 * lead_two;
    /* What is left of the following bytes belongs to the longer ones; a
     * character that lies in two pieces makes it one byte wrong. */
    mix->count[PROMPT_MORE] +=
        lead_more + (follow > lead_two ? follow - lead_two : 0);
}

static void
count_escapes(struct prompt_mix *mix, struct slice text)
{
    const char *at = text.data;
    const char *end = text.data + text.len;
    uint64_t found = 0;

    while (at != NULL && end - at >= ESCAPE_LENGTH) {
        at = memmem(at, (size_t)(end - at), "\\u", 2);
        if (at != NULL && end - at >= ESCAPE_LENGTH) {
            found++;
            at += ESCAPE_LENGTH;
        }
    }
    mix->count[PROMPT_ESCAPES] += found;
    mix->count[PROMPT_ASCII] -= found * ESCAPE_LENGTH;
}

void
prompt_mix_feed(struct prompt_mix *mix, struct slice text)
{
    static const char cached[] = "\"cache_control\"";

    if (text.len == 0)
        return;
    count_bytes(mix, text);
    count_escapes(mix, text);
    if (!mix->cached)
        mix->cached =
            memmem(text.data, text.len, cached, strlen(cached)) != NULL;
}

void
prompt_mix_encode(const struct prompt_mix *mix, char out[PROMPT_MIX_SIZE])
{
    (void)snprintf(out, PROMPT_MIX_SIZE,
        "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %d",
        mix->count[PROMPT_ASCII], mix->count[PROMPT_ESCAPES],
        mix->count[PROMPT_TWO], mix->count[PROMPT_MORE], mix->cached ? 1 : 0);
}

int
prompt_mix_decode(struct slice text, struct prompt_mix *mix)
{
    memset(mix, 0, sizeof(*mix));
    for (size_t i = 0; i < PROMPT_KINDS; i++) {
        if (text_parse_u64(
                slice_split(&text, ' '), INT64_MAX, &mix->count[i]) != 0)
            return -1;
    }
    mix->cached = slice_equal_text(text, "1");
    return mix->cached || slice_equal_text(text, "0") ? 0 : -1;
}

struct prompt_rates
prompt_rates_guess(double factor)
{
    return (struct prompt_rates){.per = {
                                     [PROMPT_ASCII] = 0.25 * factor,
                                     [PROMPT_ESCAPES] = 0.9 * factor,
                                     [PROMPT_TWO] = 0.3 * factor,
                                     [PROMPT_MORE] = 0.37 * factor,
                                 }};
}

double
prompt_rates_apply(
    const struct prompt_rates *rates, const struct prompt_mix *mix)
{
    double tokens = 0;

    for (size_t i = 0; i < PROMPT_KINDS; i++)
        tokens += rates->per[i] * (double)mix->count[i];
    return tokens;
}

void
prompt_rates_learn(
    struct prompt_rates *rates, const struct prompt_mix *mix, double tokens)
{
    double error = tokens - prompt_rates_apply(rates, mix);
    double square = 0;

    for (size_t i = 0; i < PROMPT_KINDS; i++)
        square += (double)mix->count[i] * (double)mix->count[i];
    if (square <= 0)
        return;
    for (size_t i = 0; i < PROMPT_KINDS; i++) {
        double per =
            rates->per[i] + STEP * error * (double)mix->count[i] / square;

        rates->per[i] = per < RATE_MIN ? RATE_MIN
            : per > RATE_MAX           ? RATE_MAX
                                       : per;
    }
}
