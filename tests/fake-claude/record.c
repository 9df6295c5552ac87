#include "tests/fake-claude/record.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"

int
record_prepare(const char *dir)
{
    return mkdir(dir, 0700) == 0 || errno == EEXIST ? 0 : -1;
}

static bool
is_credential(struct slice name)
{
    return slice_equal_nocase(name, "x-api-key") ||
        slice_equal_nocase(name, "authorization") ||
        slice_equal_nocase(name, "cookie") ||
        slice_equal_nocase(name, "proxy-authorization");
}

static void
append_value(struct buffer *out, const struct http_header *header)
{
    if (!is_credential(header->name)) {
        buffer_append_slice(out, header->value);
        return;
    }
    if (slice_starts_with(header->value, "Bearer "))
        buffer_append_text(out, "Bearer ");
    buffer_append_text(out, "***");
}

void
record_append(
    struct buffer *out, const struct http_head *head, struct slice body)
{
    buffer_append_slice(out, head->method);
    buffer_append_char(out, ' ');
    buffer_append_slice(out, head->path);
    if (head->query.len > 0) {
        buffer_append_char(out, '?');
        buffer_append_slice(out, head->query);
    }
    buffer_printf(out, " HTTP/1.%u\r\n", head->minor);
    for (size_t i = 0; i < head->header_count; i++) {
        buffer_append_slice(out, head->headers[i].name);
        buffer_append_text(out, ": ");
        append_value(out, &head->headers[i]);
        buffer_append_text(out, "\r\n");
    }
    buffer_append_text(out, "\r\n");
    buffer_append_slice(out, body);
}

static int
write_all(int fd, struct slice data)
{
    while (data.len > 0) {
        ssize_t written = write(fd, data.data, data.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        data.data += written;
        data.len -= (size_t)written;
    }
    return 0;
}

int
record_write(const char *dir, uint64_t number, const struct http_head *head,
    struct slice body)
{
    struct buffer path = {0};
    struct buffer text = {0};
    buffer_printf(&path, "%s/%lld-%06llu.http", dir, (long long)clock_wall_ms(),
        (unsigned long long)number);
    record_append(&text, head, body);
    int fd = open(path.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int result = fd < 0 ? -1 : write_all(fd, buffer_slice(&text));
    if (fd >= 0 && close(fd) != 0)
        result = -1;
    buffer_clear(&path);
    buffer_clear(&text);
    return result;
}
