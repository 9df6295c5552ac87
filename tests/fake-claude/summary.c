#include "tests/fake-claude/summary.h"

#include <ctype.h>
#include <string.h>

#include "tests/fake-claude/mix.h"

#define MAX_SENTENCES 400
#define MAX_BYTES (64 * 1024)
#define MAX_PICKED 4
#define WORD_CELLS 4096

static const char nothing[] =
    "There is no text in the last message, so there is nothing to answer.";

/* An introduction per language; a Latin one is told by its short words. */
struct language {
    const char *intro;
    const char *first, *last; /* a range of characters, as UTF-8 */
    const char *words[4];
};

static const struct language languages[] = {
    {"要約: ", "\xe3\x81\x81", "\xe3\x83\xbe", {NULL}},
    {"摘要：", "\xe4\xb8\x80", "\xe9\xbf\xbf", {NULL}},
    {"요약: ", "\xea\xb0\x80", "\xed\x9e\xa3", {NULL}},
    {"Кратко: ", "\xd0\x80", "\xd3\xbf", {NULL}},
    {"باختصار: ", "\xd8\x80", "\xdb\xbf", {NULL}},
    {"Kurz gesagt: ", NULL, NULL, {" und ", " nicht ", " ist ", " der "}},
    {"En bref : ", NULL, NULL, {" les ", " est ", " une ", " pas "}},
    {"En resumen: ", NULL, NULL, {" que ", " los ", " una ", " por "}},
    {"In short: ", NULL, NULL, {" the ", " and ", " is ", " to "}},
};

#define LANGUAGES (sizeof(languages) / sizeof(languages[0]))

struct sentence {
    struct slice text;
    double weight;
    bool picked;
};

static size_t
count_words(struct slice text, const char *word)
{
    size_t count = 0;
    size_t len = strlen(word);
    for (;;) {
        const char *at = memmem(text.data, text.len, word, len);
        if (at == NULL)
            return count;
        count++;
        size_t used = (size_t)(at - text.data) + len - 1;
        text = slice_make(text.data + used, text.len - used);
    }
}

/* How many characters lie between the two, which are equally long. */
static size_t
count_range(struct slice text, const char *first, const char *last)
{
    size_t count = 0;
    size_t len = strlen(first);
    for (size_t i = 0; i + len <= text.len; i++)
        count += (unsigned char)text.data[i] >= 0x80 &&
            memcmp(text.data + i, first, len) >= 0 &&
            memcmp(text.data + i, last, len) <= 0;
    return count;
}

static const char *
introduction(struct slice text)
{
    const char *intro = languages[LANGUAGES - 1].intro;
    size_t most = 0;
    for (size_t i = 0; i < LANGUAGES; i++) {
        const struct language *language = &languages[i];
        if (language->first != NULL) {
            size_t count = count_range(text, language->first, language->last);
            if (count * 12 > text.len)
                return language->intro;
            continue;
        }
        size_t count = 0;
        for (size_t w = 0; w < 4; w++)
            count += count_words(text, language->words[w]);
        if (count > most) {
            most = count;
            intro = language->intro;
        }
    }
    return intro;
}

/* The length of the sentence end that `in` begins with, or 0. */
static size_t
sentence_end(struct slice in)
{
    static const char *const wide[] = {"。", "！", "？"};
    if (in.data[0] == '\n')
        return 1;
    if (in.data[0] == '.' || in.data[0] == '!' || in.data[0] == '?')
        return in.len == 1 || isspace((unsigned char)in.data[1]) ? 1 : 0;
    if ((unsigned char)in.data[0] < 0x80)
        return 0;
    for (size_t i = 0; i < 3; i++)
        if (slice_starts_with(in, wide[i]))
            return strlen(wide[i]);
    return 0;
}

static struct slice
trim(struct slice in)
{
    while (in.len > 0 && isspace((unsigned char)in.data[0]))
        in = slice_make(in.data + 1, in.len - 1);
    while (in.len > 0 && isspace((unsigned char)in.data[in.len - 1]))
        in.len--;
    return in;
}

static size_t
split(struct slice text, struct sentence *out)
{
    size_t count = 0;
    size_t from = 0;
    for (size_t i = 0; i < text.len && count < MAX_SENTENCES;) {
        size_t end = sentence_end(slice_make(text.data + i, text.len - i));
        i += end > 0 ? end : 1;
        if (end == 0 && i < text.len)
            continue;
        struct slice found = trim(slice_make(text.data + from, i - from));
        from = i;
        if (found.len >= 3)
            out[count++] = (struct sentence){.text = found};
    }
    return count;
}

static bool
is_word_byte(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

/* The next word of *rest, or an empty slice at the end. */
static struct slice
next_word(struct slice *rest)
{
    size_t from = 0;
    while (from < rest->len && !is_word_byte(rest->data[from]))
        from++;
    size_t to = from;
    while (to < rest->len && is_word_byte(rest->data[to]))
        to++;
    struct slice word = slice_make(rest->data + from, to - from);
    *rest = slice_make(rest->data + to, rest->len - to);
    return word;
}

/* A sentence weighs as much as its words (of four letters and more) occur
 * in the whole text, on average, and a little less when it is very long. */
static void
weigh(struct sentence *sentences, size_t count, struct slice text,
    uint64_t chance)
{
    uint16_t *counts = memory_zalloc(WORD_CELLS, sizeof(*counts));
    struct slice rest = text;
    for (struct slice w = next_word(&rest); w.len > 0; w = next_word(&rest))
        if (w.len >= 4 && counts[mix_bytes(0, w) % WORD_CELLS] < 1000)
            counts[mix_bytes(0, w) % WORD_CELLS]++;
    for (size_t i = 0; i < count; i++) {
        double sum = 0;
        double words = 4;
        rest = sentences[i].text;
        for (struct slice w = next_word(&rest); w.len > 0;
             w = next_word(&rest), words++)
            if (w.len >= 4)
                sum += counts[mix_bytes(0, w) % WORD_CELLS];
        sentences[i].weight =
            (1 + sum / words) * (0.8 + 0.4 * mix_unit(mix_next(&chance)));
    }
    memory_free(counts);
}

static void
pick(struct sentence *sentences, size_t count, size_t wanted)
{
    while (wanted-- > 0) {
        struct sentence *best = NULL;
        for (size_t i = 0; i < count; i++)
            if (!sentences[i].picked &&
                (best == NULL || sentences[i].weight > best->weight))
                best = &sentences[i];
        if (best != NULL)
            best->picked = true;
    }
}

static struct slice
bounded(struct slice text)
{
    if (text.len <= MAX_BYTES)
        return text;
    size_t len = MAX_BYTES;
    while (len > 0 && ((unsigned char)text.data[len] & 0xc0) == 0x80)
        len--;
    return slice_make(text.data, len);
}

static size_t
sentences_of(struct slice *text, struct sentence **sentences)
{
    *text = bounded(*text);
    *sentences = memory_zalloc(MAX_SENTENCES, sizeof(**sentences));
    return split(*text, *sentences);
}

void
summary_append(struct buffer *out, struct slice text, uint64_t chance)
{
    struct sentence *all;
    size_t count = sentences_of(&text, &all);
    /* The first sentence of several is usually the instruction. */
    struct sentence *sentences = count > 2 ? all + 1 : all;
    size_t usable = count > 2 ? count - 1 : count;
    size_t wanted = 1 + usable / 5;
    if (usable == 0) {
        buffer_append_text(out, nothing);
    } else {
        weigh(sentences, usable, text, chance);
        pick(sentences, usable, wanted < MAX_PICKED ? wanted : MAX_PICKED);
        buffer_append_text(out, introduction(text));
    }
    bool first = true;
    for (size_t i = 0; i < usable; i++) {
        if (!sentences[i].picked)
            continue;
        if (!first)
            buffer_append_char(out, ' ');
        buffer_append_slice(out, sentences[i].text);
        first = false;
    }
    memory_free(all);
}

void
summary_fill(struct buffer *out, struct slice text, size_t bytes)
{
    struct sentence *all;
    size_t count = sentences_of(&text, &all);
    for (size_t i = 0; out->len < bytes; i++) {
        buffer_printf(out, "\n%zu. ", i + 1);
        if (count == 0)
            buffer_append_text(out, nothing);
        else
            buffer_append_slice(out, all[i % count].text);
    }
    memory_free(all);
}
