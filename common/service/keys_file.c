#include "common/service/keys_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/id.h"

#define KEY_PREFIX "lh_"
#define KEY_RANDOM_BYTES 32

static const struct {
    const char *name;
    unsigned bit;
} scope_names[] = {{"submit", KEYS_SCOPE_SUBMIT}, {"read", KEYS_SCOPE_READ},
    {"operate", KEYS_SCOPE_OPERATE}};
#define SCOPES (sizeof(scope_names) / sizeof(scope_names[0]))

const char *
keys_scope_names(unsigned scopes, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < SCOPES; i++) {
        if ((scopes & scope_names[i].bit) == 0)
            continue;
        int added = snprintf(out + len, size - len, "%s%s", len > 0 ? "," : "",
            scope_names[i].name);
        if (added < 0 || (size_t)added >= size - len)
            break;
        len += (size_t)added;
    }
    return out;
}

int
keys_scope_parse(struct slice in, unsigned *scopes)
{
    unsigned found = 0;
    do {
        struct slice word = slice_trim(slice_split(&in, ','));
        size_t i = 0;
        while (i < SCOPES && !slice_equal_text(word, scope_names[i].name))
            i++;
        if (i == SCOPES)
            return -1;
        found |= scope_names[i].bit;
    } while (in.len > 0);
    *scopes = found;
    return 0;
}

static bool
name_is_valid(struct slice name)
{
    if (name.len == 0 || name.len > KEYS_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' &&
            c != '-')
            return false;
    }
    return true;
}

void
keys_hash(struct slice key, unsigned char out[KEYS_HASH_BYTES])
{
    if (EVP_Digest(key.data, key.len, out, NULL, EVP_sha256(), NULL) != 1)
        abort(); /* only without memory */
}

/* --- reading --- */

static int
read_all(int fd, struct buffer *out)
{
    for (;;) {
        char *at = buffer_reserve(out, 8192);
        ssize_t got = read(fd, at, 8192);
        if (got == 0)
            return 0;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || out->len + (size_t)got > KEYS_FILE_MAX)
            return -1;
        out->len += (size_t)got;
    }
}

/* A missing file is empty when `may_be_missing`. */
static int
read_text(const char *path, bool may_be_missing, struct buffer *out,
    struct buffer *errors)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && may_be_missing)
        return 0;
    int result = fd >= 0 ? read_all(fd, out) : -1;
    if (fd >= 0)
        close(fd);
    if (result != 0)
        buffer_printf(errors, "%s: cannot be read, or is over 1 MiB\n", path);
    return result;
}

static struct slice
next_word(struct slice *rest)
{
    *rest = slice_trim(*rest);
    size_t len = 0;
    while (len < rest->len && rest->data[len] != ' ' && rest->data[len] != '\t')
        len++;
    struct slice word = slice_make(rest->data, len);
    *rest = slice_make(rest->data + len, rest->len - len);
    return word;
}

/* 1: an entry; 0: nothing on this line; else -1 and *wrong. */
static int
parse_line(struct slice line, struct keys_entry *entry, const char **wrong)
{
    struct slice rest = slice_split(&line, '#');
    if (rest.len > 0 && rest.data[rest.len - 1] == '\r')
        rest.len--;
    struct slice name = next_word(&rest);
    if (name.len == 0)
        return 0;
    struct slice hash = next_word(&rest);
    struct slice scopes = slice_trim(rest);
    *wrong = NULL;
    if (!name_is_valid(name))
        *wrong = "the name must be 1 to 64 of a-z, 0-9, _ and -";
    else if (text_unhex(hash, entry->hash, KEYS_HASH_BYTES) != 0)
        *wrong = "the second word must be a SHA-256 of 64 hex digits";
    else if (keys_scope_parse(scopes, &entry->scopes) != 0)
        *wrong = "the third word must be scopes: submit,read,operate";
    if (*wrong != NULL)
        return -1;
    text_copy(entry->name, sizeof(entry->name), name);
    return 1;
}

static int
parse_text(const char *path, struct slice text, struct keys_entry **entries,
    size_t *count, struct buffer *errors)
{
    size_t cap = 0;
    unsigned line = 0;
    int result = 0;
    *entries = NULL;
    *count = 0;
    while (text.len > 0) {
        const char *wrong;
        struct keys_entry entry;
        int found = parse_line(slice_split(&text, '\n'), &entry, &wrong);
        line++;
        if (found < 0) {
            buffer_printf(errors, "%s:%u: %s\n", path, line, wrong);
            result = -1;
        }
        if (found <= 0)
            continue;
        if (*count == cap) {
            cap = cap == 0 ? 16 : cap * 2;
            *entries = memory_resize(*entries, cap * sizeof(entry));
        }
        (*entries)[(*count)++] = entry;
    }
    return result;
}

int
keys_file_read(const char *path, struct keys_entry **entries, size_t *count,
    struct buffer *errors)
{
    struct buffer text = {0};
    int result = read_text(path, false, &text, errors);
    if (result == 0)
        result = parse_text(path, buffer_slice(&text), entries, count, errors);
    else
        *entries = NULL;
    buffer_clear(&text);
    if (result != 0) {
        memory_free(*entries);
        *entries = NULL;
    }
    return result;
}

/* --- writing --- */

static int
write_all(int fd, struct slice text)
{
    while (text.len > 0) {
        ssize_t done = write(fd, text.data, text.len);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        text = slice_make(text.data + done, text.len - (size_t)done);
    }
    return 0;
}

/* A reader sees the old file or the new one, also after a power cut. */
static int
replace_file(const char *path, struct slice text, struct buffer *errors)
{
    struct buffer next = {0};
    buffer_printf(&next, "%s.new", path);
    int fd = open(next.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int result = fd >= 0 && write_all(fd, text) == 0 && fsync(fd) == 0 ? 0 : -1;
    if (fd >= 0 && close(fd) != 0)
        result = -1;
    if (result == 0 && rename(next.data, path) != 0)
        result = -1;
    if (result != 0)
        buffer_printf(errors, "%s: cannot be written\n", path);
    buffer_clear(&next);
    return result;
}

/* Two programs that change the file take turns. Returns a descriptor to
 * close, or -1. */
static int
lock_file(const char *path, struct buffer *errors)
{
    struct buffer name = {0};
    buffer_printf(&name, "%s.lock", path);
    int fd = open(name.data, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        buffer_printf(errors, "%s: cannot be locked\n", path);
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    buffer_clear(&name);
    return fd;
}

/* lh_ and 256 random bits as base64url. */
static void
make_key(struct buffer *key)
{
    unsigned char bytes[KEY_RANDOM_BYTES];
    unsigned char text[64];
    id_random_bytes(bytes, sizeof(bytes));
    int len = EVP_EncodeBlock(text, bytes, sizeof(bytes));
    buffer_append_text(key, KEY_PREFIX);
    for (int i = 0; i < len && text[i] != '='; i++) {
        char c = (char)text[i];
        buffer_append_char(key, c == '+' ? '-' : c == '/' ? '_' : c);
    }
    explicit_bzero(bytes, sizeof(bytes));
    explicit_bzero(text, sizeof(text));
}

static void
append_entry(
    struct buffer *text, const char *name, unsigned scopes, struct slice key)
{
    unsigned char digest[KEYS_HASH_BYTES];
    char hex[2 * KEYS_HASH_BYTES + 1];
    char words[64];
    keys_hash(key, digest);
    text_hex(digest, sizeof(digest), hex);
    buffer_printf(text, "%s %s %s\n", name, hex,
        keys_scope_names(scopes, words, sizeof(words)));
}

int
keys_file_add(const char *path, const char *name, unsigned scopes,
    struct buffer *out, struct buffer *errors)
{
    struct buffer text = {0};
    struct buffer key = {0};
    if (!name_is_valid(slice_of(name)) || scopes == 0) {
        buffer_append_text(errors,
            "a key's name is 1 to 64 of a-z, 0-9, _ and -, with at least "
            "one scope\n");
        return -1;
    }
    int lock = lock_file(path, errors);
    int result = lock >= 0 ? read_text(path, true, &text, errors) : -1;
    if (result == 0) {
        if (text.len > 0 && text.data[text.len - 1] != '\n')
            buffer_append_char(&text, '\n');
        make_key(&key);
        append_entry(&text, name, scopes, buffer_slice(&key));
        result = replace_file(path, buffer_slice(&text), errors);
    }
    if (result == 0)
        buffer_append_slice(out, buffer_slice(&key));
    if (key.data != NULL)
        explicit_bzero(key.data, key.len);
    if (lock >= 0)
        close(lock);
    buffer_clear(&key);
    buffer_clear(&text);
    return result;
}

/* Copies all lines but those of `name`; returns how many were left out. */
static unsigned
copy_without(struct slice text, const char *name, struct buffer *out)
{
    unsigned removed = 0;
    while (text.len > 0) {
        struct slice line = slice_split(&text, '\n');
        struct slice rest = line;
        if (slice_equal_text(next_word(&rest), name)) {
            removed++;
            continue;
        }
        buffer_append_slice(out, line);
        buffer_append_char(out, '\n');
    }
    return removed;
}

int
keys_file_remove(const char *path, const char *name, struct buffer *errors)
{
    struct buffer text = {0};
    struct buffer kept = {0};
    int lock = lock_file(path, errors);
    int result = lock >= 0 ? read_text(path, false, &text, errors) : -1;
    if (result == 0 && copy_without(buffer_slice(&text), name, &kept) == 0) {
        buffer_printf(errors, "%s: there is no key %s\n", path, name);
        result = -1;
    }
    if (result == 0)
        result = replace_file(path, buffer_slice(&kept), errors);
    if (lock >= 0)
        close(lock);
    buffer_clear(&text);
    buffer_clear(&kept);
    return result;
}

int
keys_file_list(const char *path, struct buffer *out, struct buffer *errors)
{
    struct keys_entry *entries;
    size_t count;
    char words[64];
    char hex[9];
    if (keys_file_read(path, &entries, &count, errors) != 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        text_hex(entries[i].hash, 4, hex);
        buffer_printf(out, "%s %s %s\n", entries[i].name, hex,
            keys_scope_names(entries[i].scopes, words, sizeof(words)));
    }
    memory_free(entries);
    return 0;
}
