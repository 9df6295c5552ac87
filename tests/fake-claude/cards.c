#include "tests/fake-claude/cards.h"

#include <string.h>

#define ERROR(name, st, count, what) \
    { \
        .pattern = (name), .kind = CARD_ERROR, .status = (st), \
        .times = (count), .help = (what) \
    }
#define CARD(name, which, what) \
    { \
        .pattern = (name), .kind = (which), .help = (what) \
    }

const struct card cards[] = {
    CARD("mock-ok", CARD_OK, "an ordinary answer"),
    {.pattern = "mock-slow-<n>s",
        .kind = CARD_SLOW,
        .scale = 1000,
        .help = "answers after n seconds, say mock-slow-30s"},
    {.pattern = "mock-slow-<n>ms",
        .kind = CARD_SLOW,
        .scale = 1,
        .help = "answers after n milliseconds"},
    CARD("mock-stream", CARD_STREAM, "a long answer at reading speed"),
    CARD("mock-thinking", CARD_THINKING, "a thinking block, then the answer"),
    CARD("mock-refusal", CARD_REFUSAL, "200 with stop_reason refusal"),
    CARD("mock-max-tokens", CARD_MAX_TOKENS,
        "200, cut off with stop_reason max_tokens"),
    ERROR("mock-529-twice", 529, 2, "two 529 overloaded, then ok"),
    ERROR("mock-500-twice", 500, 2, "two 500, then ok"),
    ERROR("mock-529-always", 529, CARD_ALWAYS, "529 overloaded every time"),
    ERROR("mock-500-always", 500, CARD_ALWAYS, "500 every time"),
    {.pattern = "mock-429-retry-after-<n>",
        .kind = CARD_ERROR,
        .status = 429,
        .times = 1,
        .scale = 1,
        .help = "one 429 with retry-after: n, then ok"},
    {.pattern = "mock-spend-cap",
        .kind = CARD_ERROR,
        .status = 429,
        .times = CARD_ALWAYS,
        .code = "enforced_spend_limit_reached",
        .help = "429 without retry-after: the tier's monthly cap"},
    ERROR("mock-spend-limit-own", 400, CARD_ALWAYS,
        "400: the account's own spend limit"),
    ERROR("mock-400", 400, CARD_ALWAYS, "400 invalid_request_error"),
    ERROR("mock-401", 401, CARD_ALWAYS, "401 authentication_error"),
    ERROR("mock-402", 402, CARD_ALWAYS, "402 billing_error"),
    ERROR("mock-403", 403, CARD_ALWAYS, "403 permission_error"),
    ERROR("mock-404", 404, CARD_ALWAYS, "404 not_found_error"),
    ERROR("mock-413", 413, CARD_ALWAYS, "413 request_too_large"),
    CARD("mock-cut", CARD_CUT, "the connection breaks inside every answer"),
    {.pattern = "mock-cut-once",
        .kind = CARD_CUT,
        .times = 1,
        .help = "the connection breaks inside the first answer, then ok"},
    CARD("mock-garbage", CARD_GARBAGE,
        "200 with HTML, the next time with half a JSON document"),
    {.pattern = "mock-garbage-once",
        .kind = CARD_GARBAGE,
        .times = 1,
        .help = "200 with HTML, then ok"},
    CARD("mock-empty", CARD_EMPTY, "200 without a body"),
    CARD("mock-hang", CARD_HANG, "takes the request and never answers"),
    CARD("mock-drip", CARD_DRIP, "the answer at one byte a second"),
    CARD("mock-endless", CARD_ENDLESS, "an answer that never ends"),
    CARD("mock-sse-error", CARD_SSE_ERROR,
        "200, then an error event in the stream (not streamed: 529)"),
    {.pattern = "mock-flaky-<n>pct",
        .kind = CARD_FLAKY,
        .scale = 1,
        .help = "n of 100 calls end in 529 or 500, say mock-flaky-10pct"},
    {.pattern = NULL},
};

/* Matches `model` with the pattern; *n gets the number at <n>. */
static bool
matches(const char *pattern, struct slice model, uint64_t *n)
{
    const char *hole = strstr(pattern, "<n>");
    *n = 0;
    if (hole == NULL)
        return slice_equal_text(model, pattern);
    size_t head = (size_t)(hole - pattern);
    const char *tail = hole + 3;
    size_t tail_len = strlen(tail);
    if (model.len <= head + tail_len ||
        memcmp(model.data, pattern, head) != 0 ||
        memcmp(model.data + model.len - tail_len, tail, tail_len) != 0)
        return false;
    struct slice digits =
        slice_make(model.data + head, model.len - head - tail_len);
    return text_parse_u64(digits, 100000000, n) == 0;
}

int
card_find(struct slice model, struct card_choice *choice)
{
    for (const struct card *card = cards; card->pattern != NULL; card++) {
        uint64_t n;
        if (matches(card->pattern, model, &n)) {
            choice->card = card;
            choice->n = n * card->scale;
            return 0;
        }
    }
    return -1;
}

bool
card_strikes(const struct card_choice *choice, uint64_t call, double chance)
{
    if (choice->card->kind == CARD_FLAKY)
        return chance * 100 < (double)choice->n;
    return choice->card->times == CARD_ALWAYS || call <= choice->card->times;
}

void
cards_help(struct buffer *out)
{
    for (const struct card *card = cards; card->pattern != NULL; card++)
        buffer_printf(out, "  %-25s %s\n", card->pattern, card->help);
}
