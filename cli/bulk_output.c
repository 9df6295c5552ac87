#include "cli/bulk_output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/bulk_cost.h"
#include "cli/bulk_lines.h"
#include "cli/out.h"
#include "common/net/json_scan.h"

struct bulk_output {
    char *path;
    char *errors_path;
    char *run;
    bool dry;
    bool made; /* by us */
    int fd;
    int errors_fd; /* -1: there is none yet */
    struct buffer answers;
    struct buffer errors;
    bool has_errors;
    bool unsynced;
};

static int
fail(const char *what, const char *path)
{
    out_say("cannot %s %s: %s", what, path, strerrordesc_np(errno));
    return -1;
}

/* --- lines --- */

enum member { ID, RUN, BATCH, JOB, SEQ, STATUS, USAGE, COST, MEMBERS };
static const char *const member_names[] = {"custom_id", "run", "batch",
    "job_id", "seq", "status", "usage", "cost_usd"};

static struct slice
unquoted(const struct json_item *item)
{
    if (item->kind != JSON_KIND_STRING)
        return SLICE_NULL;
    return slice_make(item->raw.data + 1, item->raw.len - 2);
}

static uint64_t
count_of(const struct json_item *item)
{
    uint64_t value = 0;
    if (item->kind == JSON_KIND_NUMBER &&
        text_parse_u64(item->raw, INT64_MAX, &value) != 0)
        return 0;
    return value;
}

static void
read_usage(struct slice usage, struct bulk_past *past)
{
    static const char *const names[] = {"input_tokens",
        "cache_creation_input_tokens", "cache_read_input_tokens",
        "output_tokens"};
    struct json_item items[4];
    if (usage.len == 0 || json_object_pick(usage, names, items, 4) != 0)
        return;
    past->input_tokens =
        count_of(&items[0]) + count_of(&items[1]) + count_of(&items[2]);
    past->output_tokens = count_of(&items[3]);
}

/* Whether the line is one of this run's. */
static bool
read_line(const char *run, struct slice line, struct bulk_past *past)
{
    struct json_item items[MEMBERS];
    memset(past, 0, sizeof(*past));
    if (json_object_pick(line, member_names, items, MEMBERS) != 0 ||
        !slice_equal_text(unquoted(&items[RUN]), run))
        return false;
    struct slice status = unquoted(&items[STATUS]);
    past->custom_id = unquoted(&items[ID]);
    past->batch = unquoted(&items[BATCH]);
    past->job_id = unquoted(&items[JOB]);
    past->seq = count_of(&items[SEQ]);
    past->is_final = slice_equal_text(status, "succeeded") ||
        slice_equal_text(status, "failed");
    past->cost_usd = bulk_cost_usd(items[COST].raw);
    read_usage(items[USAGE].raw, past);
    return true;
}

/* --- reading what is there --- */

static int
refuse_foreign(
    const char *path, const struct bulk_lines *lines, unsigned long number)
{
    if (lines->offset == 0)
        out_say("%s belongs to another run, or is no output of longhaul bulk "
                "run",
            path);
    else
        out_say(
            "%s: line %lu belongs to another run, or is damaged", path, number);
    out_tell("  nothing was sent. Another template, model or parameter is "
             "another run: give it its own file with -o");
    return -1;
}

/* Whether a line without an end is what a crash leaves of one of ours. */
static bool
is_torn(struct slice line, uint64_t offset)
{
    static const char start[] = "{\"custom_id\":";
    size_t len = line.len < sizeof(start) - 1 ? line.len : sizeof(start) - 1;
    if (line.data[0] == '\0')
        return true; /* blocks that were never written */
    return offset > 0 || (line.len > 0 && memcmp(line.data, start, len) == 0);
}

/* A last line without its end: completed, or cut off. */
static int
repair(struct bulk_output *output, int fd, const char *path,
    const struct bulk_lines *lines, bool good)
{
    if (output->dry)
        return 0;
    if (good ? pwrite(fd, "\n", 1, (off_t)lines->read_at) != 1
             : ftruncate(fd, (off_t)lines->offset) != 0)
        return fail("repair", path);
    if (!good)
        out_tell("%s: a last line that was torn by a crash is cut off", path);
    return 0;
}

/* Calls `each` for every line of the file. 0 or -1 (said). */
static int
read_file(struct bulk_output *output, int fd, const char *path,
    int (*each)(void *arg, struct slice line, const struct bulk_past *past),
    void *arg)
{
    struct bulk_lines lines;
    struct slice line;
    unsigned long number = 0;
    int result = 0;
    int more;
    bulk_lines_init(&lines, fd);
    while (result == 0 && (more = bulk_lines_next(&lines, &line)) != 0) {
        struct bulk_past past;
        number++;
        bool good = more > 0 && read_line(output->run, line, &past);
        if (more < 0)
            result = fail("read", path);
        else if (!good && (lines.whole || !is_torn(line, lines.offset)))
            result = refuse_foreign(path, &lines, number);
        else if (!lines.whole)
            result = repair(output, fd, path, &lines, good);
        if (result == 0 && good)
            result = each(arg, line, &past);
        if (!lines.whole)
            break;
    }
    bulk_lines_clear(&lines);
    return result;
}

struct reading {
    const struct bulk_output_options *options;
    bool is_error;
    struct buffer kept; /* errors that stay */
    bool dropped;
};

static int
take_past(void *arg, struct slice line, const struct bulk_past *past)
{
    struct reading *reading = arg;
    struct bulk_past copy = *past;
    copy.is_error = reading->is_error;
    reading->options->on_past(reading->options->arg, &copy);
    if (!reading->is_error)
        return 0;
    if (past->is_final) {
        buffer_append_slice(&reading->kept, line);
        buffer_append_char(&reading->kept, '\n');
    } else {
        reading->dropped = true;
    }
    return 0;
}

/* --- the file of errors --- */

/* Puts `text` in the place of the file at once; *fd is then the new one. */
static int
replace_file(const char *path, struct slice text, int *fd)
{
    struct buffer temporary = {0};
    buffer_printf(&temporary, "%s.new", path);
    int made = open(temporary.data,
        O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    int result = 0;
    if (made < 0 || bulk_write_all(made, text) != 0 || fdatasync(made) != 0 ||
        rename(temporary.data, path) != 0)
        result = fail("write", path);
    if (result != 0 && made >= 0) {
        unlink(temporary.data);
        close(made);
    } else if (result == 0) {
        if (*fd >= 0)
            close(*fd);
        *fd = made;
    }
    buffer_clear(&temporary);
    return result;
}

static void
remove_errors(struct bulk_output *output)
{
    close(output->errors_fd);
    output->errors_fd = -1;
    output->has_errors = false;
    unlink(output->errors_path);
}

static int
keep_errors(struct bulk_output *output, struct reading *reading)
{
    output->has_errors = reading->kept.len > 0;
    if (!reading->dropped || output->dry)
        return 0;
    if (reading->kept.len == 0) {
        remove_errors(output);
        return 0;
    }
    return replace_file(
        output->errors_path, buffer_slice(&reading->kept), &output->errors_fd);
}

static int
open_errors(
    struct bulk_output *output, const struct bulk_output_options *options)
{
    struct reading reading = {.options = options, .is_error = true};
    int flags = output->dry ? O_RDONLY : O_RDWR | O_APPEND;
    output->errors_fd = open(output->errors_path, flags | O_CLOEXEC);
    if (output->errors_fd < 0)
        return errno == ENOENT ? 0 : fail("open", output->errors_path);
    int result = read_file(
        output, output->errors_fd, output->errors_path, take_past, &reading);
    if (result == 0)
        result = keep_errors(output, &reading);
    buffer_clear(&reading.kept);
    return result;
}

/* --- opening --- */

static int
open_answers(
    struct bulk_output *output, const struct bulk_output_options *options)
{
    struct reading reading = {.options = options, .is_error = false};
    struct stat info;
    int flags = output->dry ? O_RDONLY : O_RDWR | O_APPEND;
    output->fd = open(output->path, flags | O_CLOEXEC);
    if (output->fd < 0 && errno == ENOENT && output->dry)
        return 0;
    if (output->fd < 0 && errno == ENOENT) {
        output->fd =
            open(output->path, flags | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        output->made = output->fd >= 0;
    }
    if (output->fd < 0)
        return fail("open", output->path);
    if (fstat(output->fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        out_say("%s is not a file", output->path);
        return -1;
    }
    if (!output->dry && flock(output->fd, LOCK_EX | LOCK_NB) != 0) {
        out_say("another longhaul is writing to %s", output->path);
        return -1;
    }
    return read_file(output, output->fd, output->path, take_past, &reading);
}

/* summaries.jsonl -> summaries.errors.jsonl */
static char *
errors_path_of(const char *path)
{
    static const char ending[] = ".jsonl";
    struct buffer out = {0};
    size_t len = strlen(path);
    size_t tail = sizeof(ending) - 1;
    if (len > tail && strcmp(path + len - tail, ending) == 0)
        len -= tail;
    buffer_append(&out, path, len);
    buffer_append_text(&out, ".errors.jsonl");
    return buffer_take(&out);
}

struct bulk_output *
bulk_output_open(const struct bulk_output_options *options)
{
    struct bulk_output *output = memory_zalloc(1, sizeof(*output));
    output->path = memory_dup(options->path);
    output->errors_path = errors_path_of(options->path);
    output->run = memory_dup(options->run);
    output->dry = options->dry;
    output->fd = output->errors_fd = -1;
    if (open_answers(output, options) == 0 && open_errors(output, options) == 0)
        return output;
    bulk_output_close(output);
    return NULL;
}

const char *
bulk_output_errors_path(const struct bulk_output *output)
{
    return output->errors_path;
}

bool
bulk_output_has_errors(const struct bulk_output *output)
{
    return output->has_errors;
}

void
bulk_output_close(struct bulk_output *output)
{
    struct stat info;
    if (output == NULL)
        return;
    if (output->made && fstat(output->fd, &info) == 0 && info.st_size == 0)
        unlink(output->path);
    if (output->fd >= 0)
        close(output->fd);
    if (output->errors_fd >= 0)
        close(output->errors_fd);
    buffer_clear(&output->answers);
    buffer_clear(&output->errors);
    memory_free(output->path);
    memory_free(output->errors_path);
    memory_free(output->run);
    memory_free(output);
}

/* --- writing --- */

static void
keep(struct buffer *buffer, struct slice line)
{
    buffer_append_slice(buffer, line);
    buffer_append_char(buffer, '\n');
}

void
bulk_output_answer(struct bulk_output *output, struct slice line)
{
    if (!output->dry)
        keep(&output->answers, line);
}

void
bulk_output_error(struct bulk_output *output, struct slice line)
{
    output->has_errors = true;
    if (!output->dry)
        keep(&output->errors, line);
}

static int
write_group(int fd, const char *path, struct buffer *group)
{
    struct stat before;
    if (group->len == 0)
        return 0;
    bool known = fstat(fd, &before) == 0;
    if (bulk_write_all(fd, buffer_slice(group)) != 0) {
        fail("write", path);
        /* Half a line is of no use to anybody. */
        if (known && ftruncate(fd, before.st_size) != 0)
            out_tell("  its last line may be torn; the next run repairs it");
        return -1;
    }
    buffer_reset(group);
    return 0;
}

int
bulk_output_flush(struct bulk_output *output, bool sync)
{
    if (output->errors.len > 0 && output->errors_fd < 0) {
        output->errors_fd = open(
            output->errors_path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (output->errors_fd < 0)
            return fail("write", output->errors_path);
    }
    output->unsynced |= output->errors.len > 0 || output->answers.len > 0;
    if (write_group(output->errors_fd, output->errors_path, &output->errors) !=
            0 ||
        write_group(output->fd, output->path, &output->answers) != 0)
        return -1;
    if (!sync || !output->unsynced)
        return 0;
    if (output->errors_fd >= 0 && fdatasync(output->errors_fd) != 0)
        return fail("sync", output->errors_path);
    if (fdatasync(output->fd) != 0)
        return fail("sync", output->path);
    output->unsynced = false;
    return 0;
}

/* --- putting in order --- */

struct settling {
    const struct bulk_rows *rows;
    struct buffer kept;
    bool dropped;
};

static int
settle_line(void *arg, struct slice line, const struct bulk_past *past)
{
    struct settling *settling = arg;
    size_t at = past->is_final ? bulk_rows_find(settling->rows, past->custom_id)
                               : BULK_ABSENT;
    if (at != BULK_ABSENT && settling->rows->items[at].state == BULK_DONE) {
        settling->dropped = true;
        return 0;
    }
    keep(&settling->kept, line);
    return 0;
}

int
bulk_output_settle(struct bulk_output *output, const struct bulk_rows *rows)
{
    struct settling settling = {.rows = rows};
    if (output->errors_fd < 0 || output->dry)
        return 0;
    int result = read_file(
        output, output->errors_fd, output->errors_path, settle_line, &settling);
    if (result == 0 && settling.kept.len == 0)
        remove_errors(output);
    else if (result == 0 && settling.dropped)
        result = replace_file(output->errors_path, buffer_slice(&settling.kept),
            &output->errors_fd);
    buffer_clear(&settling.kept);
    return result;
}

struct place {
    uint64_t rank;
    uint64_t offset;
    size_t len;
};

struct sorting {
    const struct bulk_rows *rows;
    struct place *places;
    size_t count;
    size_t room;
    uint64_t offset;
    bool needed;
};

static int
place_line(void *arg, struct slice line, const struct bulk_past *past)
{
    struct sorting *sorting = arg;
    size_t at = bulk_rows_find(sorting->rows, past->custom_id);
    if (sorting->count == sorting->room) {
        sorting->room = sorting->room == 0 ? 1024 : sorting->room * 2;
        sorting->places = memory_resize(
            sorting->places, sorting->room * sizeof(*sorting->places));
    }
    struct place place = {
        at == BULK_ABSENT ? UINT64_MAX : at, sorting->offset, line.len + 1};
    if (sorting->count > 0 &&
        sorting->places[sorting->count - 1].rank > place.rank)
        sorting->needed = true;
    sorting->places[sorting->count++] = place;
    sorting->offset += line.len + 1;
    return 0;
}

static int
compare_places(const void *a, const void *b)
{
    const struct place *one = a;
    const struct place *two = b;
    if (one->rank != two->rank)
        return one->rank < two->rank ? -1 : 1;
    return one->offset < two->offset ? -1 : 1;
}

static int
copy_places(
    const struct bulk_output *output, const struct sorting *sorting, int to)
{
    struct buffer group = {0};
    int result = 0;
    for (size_t i = 0; result == 0 && i < sorting->count; i++) {
        const struct place *place = &sorting->places[i];
        char *at = buffer_reserve(&group, place->len);
        ssize_t got = pread(output->fd, at, place->len, (off_t)place->offset);
        if (got != (ssize_t)place->len)
            result = -1;
        group.len += place->len;
        if (result == 0 && (group.len > 1 << 20 || i + 1 == sorting->count)) {
            result = bulk_write_all(to, buffer_slice(&group));
            buffer_reset(&group);
        }
    }
    buffer_clear(&group);
    return result;
}

int
bulk_output_sort(struct bulk_output *output, const struct bulk_rows *rows)
{
    struct sorting sorting = {.rows = rows};
    struct buffer path = {0};
    int made = -1;
    int result =
        read_file(output, output->fd, output->path, place_line, &sorting);
    if (result != 0 || !sorting.needed)
        goto done;
    qsort(
        sorting.places, sorting.count, sizeof(*sorting.places), compare_places);
    buffer_printf(&path, "%s.new", output->path);
    made = open(
        path.data, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    if (made < 0 || flock(made, LOCK_EX | LOCK_NB) != 0 ||
        copy_places(output, &sorting, made) != 0 || fdatasync(made) != 0 ||
        rename(path.data, output->path) != 0) {
        result = fail("put in order", output->path);
        if (made >= 0) {
            unlink(path.data);
            close(made);
        }
    } else {
        close(output->fd);
        output->fd = made;
    }
done:
    memory_free(sorting.places);
    buffer_clear(&path);
    return result;
}
