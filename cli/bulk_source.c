#include "cli/bulk_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/out.h"
#include "common/job/csv.h"
#include "common/net/json_scan.h"

#define CHUNK_BYTES 65536

struct bulk_source {
    char *path;
    enum bulk_format format;
    int fd;
    bool has_bom;
    /* Columns; the texts are in name_text. */
    struct slice *names;
    size_t count;
    char *name_text;
    /* Where we are. */
    uint64_t offset; /* of chunk[at] */
    size_t at;
    size_t len;
    char chunk[CHUNK_BYTES];
    uint64_t line;
    struct csv csv;
    /* JSONL. */
    struct buffer text;
    bool cut;
    struct buffer values_text;
    struct slice *values;
    size_t *starts; /* of the values in values_text, + 1; 0: no member */
    bool repeated;
};

/* --- bytes --- */

/* 1 when there is something in the chunk, 0 at the end, -1 said. */
static int
fill(struct bulk_source *source)
{
    if (source->at < source->len)
        return 1;
    ssize_t got;
    do {
        got = pread(
            source->fd, source->chunk, CHUNK_BYTES, (off_t)source->offset);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        out_say("cannot read %s: %s", source->path, strerrordesc_np(errno));
        return -1;
    }
    source->at = 0;
    source->len = (size_t)got;
    return got > 0 ? 1 : 0;
}

static void
seek(struct bulk_source *source, uint64_t offset)
{
    uint64_t base = source->offset - source->at;
    bool inside = offset >= base && offset < base + source->len;
    source->at = inside ? (size_t)(offset - base) : 0;
    source->len = inside ? source->len : 0;
    source->offset = offset;
}

static struct slice
in_chunk(const struct bulk_source *source)
{
    return slice_make(source->chunk + source->at, source->len - source->at);
}

static void
consume(struct bulk_source *source, size_t bytes)
{
    source->at += bytes;
    source->offset += bytes;
}

/* --- CSV --- */

static int
next_csv(struct bulk_source *source, struct bulk_row *row)
{
    enum csv_result result = CSV_MORE;
    row->offset = source->offset;
    while (result == CSV_MORE) {
        int more = fill(source);
        if (more < 0)
            return -1;
        if (more == 0 && csv_finish(&source->csv) == CSV_MORE)
            return 0;
        if (more == 0)
            break;
        struct slice in = in_chunk(source);
        size_t before = in.len;
        result = csv_feed(&source->csv, &in);
        consume(source, before - in.len);
    }
    row->line = source->csv.row.line;
    row->values = source->csv.row.fields;
    row->fatal = source->csv.row.fault == CSV_FAULT_UNCLOSED;
    csv_fault_text(&source->csv, row->fault);
    return 1;
}

/* --- JSONL --- */

/* A line that is not blank, without its end, into source->text. */
static int
next_line(struct bulk_source *source, struct bulk_row *row)
{
    bool ended = false;
    buffer_reset(&source->text);
    source->cut = false;
    row->offset = source->offset;
    row->line = source->line;
    while (!ended) {
        int more = fill(source);
        if (more < 0)
            return -1;
        if (more == 0)
            break;
        struct slice in = in_chunk(source);
        const char *end = memchr(in.data, '\n', in.len);
        size_t len = end != NULL ? (size_t)(end - in.data) : in.len;
        if (source->text.len + len > BULK_LINE_MAX_BYTES) {
            source->cut = true;
            buffer_clear(&source->text);
        }
        if (!source->cut)
            buffer_append(&source->text, in.data, len);
        ended = end != NULL;
        source->line += ended;
        consume(source, len + ended);
    }
    if (source->cut || source->text.len > 0)
        return 1;
    return ended ? 1 : 0;
}

static void
take_member(void *arg, const struct json_member *member, struct slice key_raw,
    struct slice value)
{
    struct bulk_source *source = arg;
    (void)member;
    struct buffer name = {0};
    json_unescape_append(&name, key_raw);
    for (size_t i = 0; i < source->count; i++) {
        if (!slice_equal(buffer_slice(&name), source->names[i]))
            continue;
        /* The text moves while it grows. */
        source->repeated |= source->starts[i] != 0;
        source->starts[i] = source->values_text.len + 1;
        if (value.data[0] == '"')
            json_unescape_append(&source->values_text, value);
        else if (!slice_equal_text(value, "null"))
            buffer_append_slice(&source->values_text, value);
        source->values[i].len = source->values_text.len + 1 - source->starts[i];
    }
    buffer_clear(&name);
}

static void
read_object(struct bulk_source *source, struct bulk_row *row)
{
    struct json_fault fault;
    char text[JSON_FAULT_TEXT_SIZE];
    for (size_t i = 0; i < source->count; i++) {
        source->values[i] = SLICE_NULL;
        source->starts[i] = 0;
    }
    buffer_reset(&source->values_text);
    source->repeated = false;
    if (json_scan_all(
            row->raw.data, row->raw.len, JSON_DEPTH_DEFAULT, &fault) != 0) {
        json_fault_text(&fault, text);
        snprintf(row->fault, sizeof(row->fault), "is not JSON: %s", text);
        return;
    }
    if (json_object_each(row->raw, take_member, source) != 0) {
        snprintf(row->fault, sizeof(row->fault), "is not a JSON object");
        return;
    }
    if (source->repeated)
        snprintf(row->fault, sizeof(row->fault), "names a member twice");
    buffer_append(&source->values_text, "", 0);
    for (size_t i = 0; i < source->count; i++) {
        if (source->starts[i] != 0)
            source->values[i].data =
                source->values_text.data + source->starts[i] - 1;
    }
}

static int
next_jsonl(struct bulk_source *source, struct bulk_row *row)
{
    do {
        int more = next_line(source, row);
        if (more <= 0)
            return more;
        row->raw = slice_trim(buffer_slice(&source->text));
        while (row->raw.len > 0 && row->raw.data[row->raw.len - 1] == '\r')
            row->raw.len--;
        if (row->offset == 0 && slice_starts_with(row->raw, "\xef\xbb\xbf"))
            row->raw = slice_make(row->raw.data + 3, row->raw.len - 3);
    } while (row->raw.len == 0 && !source->cut);
    row->values = source->values;
    if (source->cut)
        snprintf(row->fault, sizeof(row->fault), "is longer than %zu MiB",
            BULK_LINE_MAX_BYTES / 1024 / 1024);
    else
        read_object(source, row);
    return 1;
}

/* --- the header --- */

static void
take_names(struct bulk_source *source, const struct slice *names, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += names[i].len;
    source->name_text = memory_alloc(bytes + 1);
    source->names = memory_zalloc(count + 1, sizeof(*source->names));
    source->values = memory_zalloc(count + 1, sizeof(*source->values));
    source->starts = memory_zalloc(count + 1, sizeof(*source->starts));
    source->count = count;
    bytes = 0;
    for (size_t i = 0; i < count; i++) {
        char *at = source->name_text + bytes;
        if (names[i].len > 0)
            memcpy(at, names[i].data, names[i].len);
        source->names[i] = slice_make(at, names[i].len);
        bytes += names[i].len;
    }
}

static int
begin_csv(struct bulk_source *source)
{
    struct bulk_row row = {0};
    int got = next_csv(source, &row);
    if (got < 0)
        return -1;
    if (got == 0) {
        out_say("%s is empty; its first line should name the columns",
            source->path);
        return -1;
    }
    if (row.fault[0] != '\0') {
        out_say("%s: line %llu, the header, %s", source->path,
            (unsigned long long)row.line, row.fault);
        return -1;
    }
    take_names(source, row.values, source->csv.row.count);
    return 0;
}

struct names {
    struct buffer text;
    size_t *ends;
    size_t count;
};

static void
take_name(void *arg, const struct json_member *member, struct slice key_raw,
    struct slice value)
{
    struct names *names = arg;
    (void)member;
    (void)value;
    if (names->count == CSV_FIELDS_MAX)
        return;
    json_unescape_append(&names->text, key_raw);
    names->ends =
        memory_resize(names->ends, (names->count + 1) * sizeof(*names->ends));
    names->ends[names->count++] = names->text.len;
}

/* The columns are the members of the first object that is one. */
static int
begin_jsonl(struct bulk_source *source)
{
    struct bulk_row row = {0};
    struct names names = {0};
    int got;
    bool any = false;
    while ((got = next_jsonl(source, &row)) == 1) {
        any = true;
        if (row.fault[0] == '\0')
            break;
        row = (struct bulk_row){0};
    }
    if (got == 1 && json_object_each(row.raw, take_name, &names) == 0) {
        struct slice list[CSV_FIELDS_MAX];
        size_t start = 0;
        for (size_t i = 0; i < names.count; i++) {
            list[i] =
                slice_make(names.text.len > 0 ? names.text.data + start : "",
                    names.ends[i] - start);
            start = names.ends[i];
        }
        take_names(source, list, names.count);
    } else if (got == 0) {
        out_say(any ? "%s: no line of it is a JSON object" : "%s is empty",
            source->path);
    }
    memory_free(names.ends);
    buffer_clear(&names.text);
    if (got == 1)
        bulk_source_rewind(source);
    return got == 1 ? 0 : -1;
}

/* --- opening --- */

int
bulk_source_format_of(
    const char *path, const char *format, enum bulk_format *out)
{
    static const char *const names[] = {"csv", "tsv", "jsonl", NULL};
    const char *dot = strrchr(path, '.');
    const char *ending = format != NULL ? format : dot != NULL ? dot + 1 : "";
    *out = BULK_FORMAT_CSV;
    for (int i = 0; names[i] != NULL; i++) {
        if (strcasecmp(ending, names[i]) == 0) {
            *out = (enum bulk_format)i;
            return 0;
        }
    }
    if (strcasecmp(ending, "ndjson") == 0)
        *out = BULK_FORMAT_JSONL;
    else if (strcasecmp(ending, "tab") == 0)
        *out = BULK_FORMAT_TSV;
    else if (format != NULL)
        return -1;
    return 0;
}

/* Standard input in a file that vanishes with us, or -1 (said). */
static int
spool_input(void)
{
    const char *folder = getenv("TMPDIR");
    char chunk[CHUNK_BYTES];
    if (folder == NULL || folder[0] == '\0')
        folder = "/tmp";
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    ssize_t got = 0;
    if (fd >= 0 && isatty(STDIN_FILENO) == 1)
        out_tell("reading rows from the terminal; Ctrl-D ends them");
    while (fd >= 0 && (got = read(STDIN_FILENO, chunk, sizeof(chunk))) > 0) {
        for (ssize_t at = 0; at < got;) {
            ssize_t put = write(fd, chunk + at, (size_t)(got - at));
            if (put < 0) {
                close(fd);
                fd = -1;
                break;
            }
            at += put;
        }
    }
    if (fd < 0 || got < 0)
        out_say("cannot keep standard input in %s: %s", folder,
            strerrordesc_np(errno));
    return got < 0 ? -1 : fd;
}

static int
open_input(const char *path)
{
    struct stat info;
    if (strcmp(path, "-") == 0)
        return spool_input();
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        out_say("cannot read %s: %s", path, strerrordesc_np(errno));
        return -1;
    }
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode))
        return fd;
    out_say("%s is not a file; rows from a pipe come as -", path);
    close(fd);
    return -1;
}

struct bulk_source *
bulk_source_open(const char *path, const char *format)
{
    struct bulk_source *source = memory_zalloc(1, sizeof(*source));
    char start[3] = "";
    source->path = memory_dup(strcmp(path, "-") == 0 ? "standard input" : path);
    source->fd = -1;
    source->line = 1;
    if (bulk_source_format_of(path, format, &source->format) != 0) {
        out_say("--format is csv, tsv or jsonl");
        goto fail;
    }
    csv_init(&source->csv, source->format == BULK_FORMAT_TSV ? '\t' : ',');
    source->fd = open_input(path);
    if (source->fd < 0)
        goto fail;
    source->has_bom = pread(source->fd, start, 3, 0) == 3 &&
        memcmp(start, "\xef\xbb\xbf", 3) == 0;
    if (source->format == BULK_FORMAT_JSONL ? begin_jsonl(source) != 0
                                            : begin_csv(source) != 0)
        goto fail;
    return source;
fail:
    bulk_source_free(source);
    return NULL;
}

void
bulk_source_free(struct bulk_source *source)
{
    if (source == NULL)
        return;
    if (source->fd >= 0)
        close(source->fd);
    csv_clear(&source->csv);
    buffer_clear(&source->text);
    buffer_clear(&source->values_text);
    memory_free(source->values);
    memory_free(source->starts);
    memory_free(source->names);
    memory_free(source->name_text);
    memory_free(source->path);
    memory_free(source);
}

enum bulk_format
bulk_source_format(const struct bulk_source *source)
{
    return source->format;
}

const struct slice *
bulk_source_names(const struct bulk_source *source, size_t *count)
{
    *count = source->count;
    return source->names;
}

bool
bulk_source_has_bom(const struct bulk_source *source)
{
    return source->has_bom;
}

/* --- rows --- */

int
bulk_source_next(struct bulk_source *source, struct bulk_row *row)
{
    memset(row, 0, sizeof(*row));
    return source->format == BULK_FORMAT_JSONL ? next_jsonl(source, row)
                                               : next_csv(source, row);
}

static char
separator_of(const struct bulk_source *source)
{
    return source->format == BULK_FORMAT_TSV ? '\t' : ',';
}

void
bulk_source_rewind(struct bulk_source *source)
{
    struct bulk_row header;
    seek(source, 0);
    source->line = 1;
    if (source->format == BULK_FORMAT_JSONL)
        return;
    csv_clear(&source->csv);
    csv_init(&source->csv, separator_of(source));
    if (bulk_source_next(source, &header) != 1)
        return; /* what follows then says why */
}

int
bulk_source_read_at(
    struct bulk_source *source, uint64_t offset, struct bulk_row *row)
{
    seek(source, offset);
    if (source->format != BULK_FORMAT_JSONL) {
        csv_clear(&source->csv);
        csv_init_inside(&source->csv, separator_of(source), source->count);
    }
    return bulk_source_next(source, row);
}
