#include "common/job/prompt_mix.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ESCAPE_LENGTH 6
/* How far one answer moves the rates. */
#define STEP 0.25
#define RATE_MIN 0.02
#define RATE_MAX 4.0

/* Text has a blank, a quote or an escape within this many bytes. */
#define RUN_BYTES 512
#define CACHED_ALL 1000000

static bool
is_run(struct slice text)
{
    return text.len == RUN_BYTES && memchr(text.data, ' ', text.len) == NULL &&
        memchr(text.data, '"', text.len) == NULL &&
        memchr(text.data, '\\', text.len) == NULL;
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* The high bit of each of eight ASCII bytes that is a letter or a digit. */
static uint64_t
letters_of(uint64_t eight)
{
    const uint64_t lower = eight | EACH(0x20);
    const uint64_t letter =
        (lower + EACH(0x80 - 'a')) & ~(lower + EACH(0x80 - 'z' - 1));
    const uint64_t digit =
        (lower + EACH(0x80 - '0')) & ~(lower + EACH(0x80 - '9' - 1));

    return (letter | digit) & EACH(0x80);
}

/* How many of the eight bytes, which are 0x80 or 0, are not 0. */
static uint64_t
count_marks(uint64_t marks)
{
    return ((marks >> 7) * EACH(1)) >> 56;
}

/* Beginnings of words in ASCII; one that was begun before is not counted,
 * nor are the last few bytes. Eight at a time: prompts can have 32 MB. */
static uint64_t
count_words(struct slice text)
{
    uint64_t words = 0;
    uint64_t before = 0x80;

    for (size_t i = 0; i + 8 <= text.len; i += 8) {
        uint64_t eight;
        uint64_t letters;

        memcpy(&eight, text.data + i, 8);
        letters = letters_of(eight);
        words += count_marks(letters & ~(letters << 8 | before));
        before = letters >> 56;
    }
    return words;
}

static bool
is_ascii(struct slice text)
{
    uint64_t high = 0;
    size_t i = 0;

    for (; i + 8 <= text.len; i += 8) {
        uint64_t eight;

        memcpy(&eight, text.data + i, 8);
        high |= eight;
    }
    for (; i < text.len; i++)
        high |= (unsigned char)text.data[i];
    return (high & EACH(0x80)) == 0;
}

/* Returns how many bytes are ASCII. */
static uint64_t
count_scripts(struct prompt_mix *mix, struct slice text)
{
    uint64_t follow = 0;
    uint64_t lead_two = 0;
    uint64_t lead_more = 0;

    if (is_ascii(text))
        return text.len;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];

        follow += (c & 0xC0) == 0x80;
        lead_two += (c & 0xE0) == 0xC0;
        lead_more += c >= 0xE0;
    }
    mix->count[PROMPT_TWO] += 2 * lead_two;
    /* What is left of the following bytes belongs to the longer ones; a
     * character that lies in two pieces makes it one byte wrong. */
    mix->count[PROMPT_MORE] +=
        lead_more + (follow > lead_two ? follow - lead_two : 0);
    return text.len - follow - lead_two - lead_more;
}

static void
count_block(struct prompt_mix *mix, struct slice text)
{
    uint64_t ascii = count_scripts(mix, text);

    if (is_run(text))
        return;
    mix->count[PROMPT_ASCII] += ascii;
    /* Without the words of a mixed block the least is still certain. */
    if (ascii == text.len)
        mix->words += count_words(text);
}

static void
count_bytes(struct prompt_mix *mix, struct slice text)
{
    while (text.len > 0) {
        size_t len = text.len < RUN_BYTES ? text.len : RUN_BYTES;

        count_block(mix, slice_make(text.data, len));
        text = slice_make(text.data + len, text.len - len);
    }
}

static void
count_escapes(struct prompt_mix *mix, struct slice text)
{
    const char *at = text.data;
    const char *end = text.data + text.len;
    uint64_t found = 0;

    /* Not memmem(): for so short a needle it reads byte by byte. */
    while (end - at >= ESCAPE_LENGTH &&
        (at = memchr(at, '\\', (size_t)(end - at))) != NULL) {
        bool is_escape = end - at >= ESCAPE_LENGTH && at[1] == 'u';

        found += is_escape;
        at += is_escape ? ESCAPE_LENGTH : 1;
    }
    mix->count[PROMPT_ESCAPES] += found;
    found *= ESCAPE_LENGTH;
    mix->count[PROMPT_ASCII] -=
        found < mix->count[PROMPT_ASCII] ? found : mix->count[PROMPT_ASCII];
}

static void
count_text(struct prompt_mix *mix, struct slice text)
{
    count_bytes(mix, text);
    count_escapes(mix, text);
}

static double
about(const struct prompt_mix *mix)
{
    const struct prompt_rates rates = prompt_rates_guess(1);

    return prompt_rates_apply(&rates, mix);
}

void
prompt_mix_feed(struct prompt_mix *mix, struct slice text)
{
    static const char mark[] = "\"cache_control\"";
    double all;

    for (;;) {
        const char *at = text.len == 0
            ? NULL
            : memmem(text.data, text.len, mark, strlen(mark));
        size_t len;

        if (at == NULL)
            break;
        len = (size_t)(at - text.data) + strlen(mark);
        count_text(mix, slice_make(text.data, len));
        mix->cached_tokens = about(mix);
        text = slice_make(text.data + len, text.len - len);
    }
    count_text(mix, text);
    all = about(mix);
    if (mix->cached_tokens > 0)
        mix->cached_ppm =
            1 + (unsigned)((CACHED_ALL - 1) * mix->cached_tokens / all);
}

uint64_t
prompt_mix_least_tokens(const struct prompt_mix *mix)
{
    return mix->words / 2 + mix->count[PROMPT_TWO] / 32 +
        mix->count[PROMPT_MORE] / 24 + mix->count[PROMPT_ESCAPES] / 8;
}

void
prompt_mix_encode(const struct prompt_mix *mix, char out[PROMPT_MIX_SIZE])
{
    (void)snprintf(out, PROMPT_MIX_SIZE,
        "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %u",
        mix->count[PROMPT_ASCII], mix->count[PROMPT_ESCAPES],
        mix->count[PROMPT_TWO], mix->count[PROMPT_MORE], mix->cached_ppm);
}

int
prompt_mix_decode(struct slice text, struct prompt_mix *mix)
{
    uint64_t ppm;

    memset(mix, 0, sizeof(*mix));
    for (size_t i = 0; i < PROMPT_KINDS; i++) {
        if (text_parse_u64(
                slice_split(&text, ' '), INT64_MAX, &mix->count[i]) != 0)
            return -1;
    }
    if (text_parse_u64(text, CACHED_ALL, &ppm) != 0)
        return -1;
    mix->cached_ppm = (unsigned)ppm;
    return 0;
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
