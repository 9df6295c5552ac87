#include "common/net/redis_private.h"

#include <string.h>

/* Percent-decoding of user and password (RFC 3986 2.1). NULL if ill-formed
 * or if it would contain a NUL. */
static char *
decode(struct slice in)
{
    struct buffer out = {0};

    for (size_t i = 0; i < in.len; i++) {
        char c = in.data[i];
        if (c == '%') {
            if (in.len - i < 3 ||
                text_unhex(slice_make(in.data + i + 1, 2), &c, 1) != 0 ||
                c == '\0') {
                buffer_clear(&out);
                return NULL;
            }
            i += 2;
        }
        buffer_append_char(&out, c);
    }
    buffer_append_text(&out, "");
    return out.data != NULL ? buffer_take(&out) : memory_dup("");
}

static int
parse_user(struct slice info, struct redis_address *address)
{
    struct slice user = slice_split(&info, ':');

    if (user.len > 0 && (address->user = decode(user)) == NULL)
        return -1;
    if (info.len > 0 && (address->password = decode(info)) == NULL)
        return -1;
    return 0;
}

static int
parse_port(struct slice text, int *port)
{
    uint64_t value = 6379;

    if (text.len > 0 &&
        (text_parse_u64(text, 65535, &value) != 0 || value == 0))
        return -1;
    *port = (int)value;
    return 0;
}

static int
parse_host(struct slice in, struct redis_address *address)
{
    struct slice host = in;
    struct slice port = SLICE_NULL;

    if (in.len > 0 && in.data[0] == '[') { /* an IPv6 address */
        const char *end = memchr(in.data, ']', in.len);
        if (end == NULL)
            return -1;
        host = slice_make(in.data + 1, (size_t)(end - in.data) - 1);
        port = slice_make(end + 1, in.len - host.len - 2);
        if (port.len > 0 && *port.data != ':')
            return -1;
        if (port.len > 0)
            port = slice_make(port.data + 1, port.len - 1);
    } else {
        port = in;
        host = slice_split(&port, ':');
    }
    if (host.len == 0 || memchr(host.data, '\0', host.len) != NULL)
        return -1;
    address->host = memory_dup_bytes(host.data, host.len);
    return parse_port(port, &address->port);
}

static int
parse_tcp(struct slice rest, struct redis_address *address, const char **why)
{
    struct slice db = rest;
    struct slice authority = slice_split(&db, '/');
    const char *at =
        authority.len == 0 ? NULL : memrchr(authority.data, '@', authority.len);

    if (at != NULL) {
        size_t len = (size_t)(at - authority.data);
        *why = "the user or password in the Redis URL is ill-formed";
        if (parse_user(slice_make(authority.data, len), address) != 0)
            return -1;
        authority = slice_make(at + 1, authority.len - len - 1);
    }
    *why = "the Redis URL needs HOST or HOST:PORT";
    if (parse_host(authority, address) != 0)
        return -1;
    *why = "the database in the Redis URL is not a number";
    return db.len == 0 ? 0 : text_parse_u64(db, 1000000, &address->db);
}

int
redis_address_parse(
    struct slice url, struct redis_address *address, const char **why)
{
    static const char tcp[] = "redis://";
    static const char local[] = "unix://";
    int result = -1;

    memset(address, 0, sizeof(*address));
    if (slice_starts_with(url, tcp)) {
        size_t skip = sizeof(tcp) - 1;
        result = parse_tcp(
            slice_make(url.data + skip, url.len - skip), address, why);
    } else if (slice_starts_with(url, local)) {
        size_t skip = sizeof(local) - 1;
        *why = "the Redis URL needs a path: unix://PATH";
        if (url.len > skip) {
            address->path = memory_dup_bytes(url.data + skip, url.len - skip);
            result = 0;
        }
    } else {
        *why = "the Redis URL must begin with redis:// or unix://";
    }
    if (result != 0)
        redis_address_clear(address);
    return result;
}

void
redis_address_clear(struct redis_address *address)
{
    memory_free(address->host);
    memory_free(address->path);
    memory_free(address->user);
    memory_free(address->password);
    memset(address, 0, sizeof(*address));
}
