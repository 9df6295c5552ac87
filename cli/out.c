#include "cli/out.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"

#define NAME_COLUMN 14
#define DAY_S 86400

static bool colours;

bool
out_is_terminal(FILE *file)
{
    return isatty(fileno(file)) == 1;
}

void
out_init(bool no_color)
{
    const char *never = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");
    colours = !no_color && (never == NULL || never[0] == '\0') &&
        (terminal == NULL || strcmp(terminal, "dumb") != 0);
}

static void say(const char *prefix, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void
say(const char *prefix, const char *format, va_list args)
{
    char text[2048];
    struct buffer out = {0};
    vsnprintf(text, sizeof(text), format, args);
    buffer_append_text(&out, prefix);
    out_safe(&out, slice_of(text), true);
    buffer_append_char(&out, '\n');
    fwrite(out.data, 1, out.len, stderr);
    buffer_clear(&out);
}

void
out_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say("longhaul: ", format, args);
    va_end(args);
}

void
out_tell(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say("", format, args);
    va_end(args);
}

/* A reader that has seen enough (| head) needs no word about it. */
static bool
lost(void)
{
    static bool told;
    if (!told && errno != EPIPE)
        out_say("cannot write the output: %s", strerrordesc_np(errno));
    told = true;
    return false;
}

bool
out_write(struct slice data)
{
    if (data.len == 0 || fwrite(data.data, 1, data.len, stdout) == data.len)
        return true;
    return lost();
}

bool
out_write_line(struct slice data)
{
    bool ended = data.len > 0 && data.data[data.len - 1] == '\n';
    return out_write(data) && (ended || out_write(slice_of("\n")));
}

bool
out_flush(void)
{
    return (fflush(stdout) == 0 && !ferror(stdout)) || lost();
}

const char *
out_colour(FILE *file, const char *state)
{
    static const struct {
        const char *state;
        const char *code;
    } codes[] = {{"succeeded", "\033[32m"}, {"ok", "\033[32m"},
        {"failed", "\033[31m"}, {"fail", "\033[31m"}, {"expired", "\033[31m"},
        {"retrying", "\033[33m"}, {"warn", "\033[33m"}, {"running", "\033[36m"},
        {"bold", "\033[1m"}, {"canceled", "\033[2m"}};
    if (!colours || !out_is_terminal(file))
        return "";
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (strcmp(codes[i].state, state) == 0)
            return codes[i].code;
    }
    return "";
}

const char *
out_plain(FILE *file)
{
    return colours && out_is_terminal(file) ? "\033[0m" : "";
}

void
out_field(const char *name, struct slice value)
{
    struct buffer text = {0};
    out_safe(&text, value, false);
    printf("%s%-*s%s %s\n", out_colour(stdout, "bold"), NAME_COLUMN, name,
        out_plain(stdout), text.len > 0 ? text.data : "");
    buffer_clear(&text);
}

void
out_field_state(const char *name, struct slice state)
{
    struct buffer text = {0};
    out_safe(&text, state, false);
    const char *shown = text.len > 0 ? text.data : "";
    const char *colour = out_colour(stdout, shown);
    printf("%s%-*s%s %s%s%s\n", out_colour(stdout, "bold"), NAME_COLUMN, name,
        out_plain(stdout), colour, shown,
        colour[0] != '\0' ? out_plain(stdout) : "");
    buffer_clear(&text);
}

void
out_time(struct slice rfc3339, struct buffer *out)
{
    int64_t wall_ms;
    struct tm when;
    char text[32];
    if (clock_parse_rfc3339(rfc3339, &wall_ms) != 0) {
        buffer_append_slice(out, rfc3339);
        return;
    }
    time_t seconds = (time_t)(wall_ms / 1000);
    int64_t age_s = (clock_wall_ms() - wall_ms) / 1000;
    localtime_r(&seconds, &when);
    bool near = age_s < DAY_S / 2 && age_s > -DAY_S / 2;
    if (strftime(text, sizeof(text), near ? "%H:%M:%S" : "%Y-%m-%d %H:%M",
            &when) == 0)
        text[0] = '\0';
    buffer_append_text(out, text);
}

/* --- tables --- */

struct out_table {
    size_t columns;
    size_t cells; /* also the headings */
    size_t room;
    char **cell;
    bool on_terminal;
};

struct out_table *
out_table_new(const char *const *headings, size_t columns)
{
    struct out_table *table = memory_zalloc(1, sizeof(*table));
    table->columns = columns;
    table->on_terminal = out_is_terminal(stdout);
    for (size_t i = 0; i < columns; i++)
        out_table_text(table, headings[i]);
    return table;
}

void
out_table_cell(struct out_table *table, struct slice text)
{
    struct buffer safe = {0};
    out_safe(&safe, text, false);
    if (safe.len == 0)
        buffer_append_char(&safe, '-');
    if (table->cells == table->room) {
        table->room = table->room == 0 ? 64 : table->room * 2;
        table->cell =
            memory_resize(table->cell, table->room * sizeof(*table->cell));
    }
    table->cell[table->cells++] = buffer_take(&safe);
}

void
out_table_text(struct out_table *table, const char *text)
{
    out_table_cell(table, slice_of(text));
}

void
out_table_u64(struct out_table *table, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    out_table_text(table, text);
}

size_t
out_columns(FILE *file)
{
    struct winsize size;
    if (ioctl(fileno(file), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

struct slice
out_cut(struct slice all, size_t room)
{
    size_t len = 0;
    while (len < all.len) {
        size_t step = text_utf8_step(slice_make(all.data + len, all.len - len));
        step += step == 0;
        if (out_width(slice_make(all.data, len + step)) + 1 > room)
            break;
        len += step;
    }
    return slice_make(all.data, len);
}

static void
print_last(const struct out_table *table, const char *text, size_t used)
{
    size_t width = out_width(slice_of(text));
    size_t total = table->on_terminal ? out_columns(stdout) : SIZE_MAX;
    if (used + width <= total || total <= used + 4) {
        printf("%s\n", text);
        return;
    }
    struct slice part = out_cut(slice_of(text), total - used);
    printf("%.*s\u2026\n", (int)part.len, part.data);
}

static void
print_row(const struct out_table *table, char **row, const size_t *widths,
    bool heading, int colour_at)
{
    size_t used = 0;
    for (size_t i = 0; i < table->columns; i++) {
        const char *colour = heading ? out_colour(stdout, "bold")
            : (int)i == colour_at    ? out_colour(stdout, row[i])
                                     : "";
        const char *plain = colour[0] != '\0' ? out_plain(stdout) : "";
        if (i + 1 == table->columns) {
            fputs(colour, stdout);
            print_last(table, row[i], used);
            fputs(plain, stdout);
            return;
        }
        size_t pad = widths[i] - out_width(slice_of(row[i])) + 2;
        printf("%s%s%s%*s", colour, row[i], plain, (int)pad, "");
        used += widths[i] + 2;
    }
}

void
out_table_print(struct out_table *table, int colour_at)
{
    size_t widths[OUT_COLUMNS_MAX] = {0};
    for (size_t i = 0; i < table->cells; i++) {
        size_t width = out_width(slice_of(table->cell[i]));
        size_t *widest = &widths[i % table->columns];
        *widest = width > *widest ? width : *widest;
    }
    for (size_t i = 0; i + table->columns <= table->cells; i += table->columns)
        print_row(table, table->cell + i, widths, i == 0, colour_at);
    for (size_t i = 0; i < table->cells; i++)
        memory_free(table->cell[i]);
    memory_free(table->cell);
    memory_free(table);
}
