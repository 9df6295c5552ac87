/* Why Redis ended: what it said last, and whether the disk is full. */

#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "cli/out.h"
#include "cli/up.h"

#define FULL_BYTES (16 << 20)

static size_t
left(struct slice line, const char *from)
{
    return line.len - (size_t)(from - line.data);
}

/* "4711:M 20 Nov 2026 18:00:00.123 # Words": those of level # count, but for
 * advice about the machine, which it gives at every start. */
void
up_hear_redis(struct up *up, struct slice line)
{
    const char *words = memmem(line.data, line.len, " # ", 3);
    if (words == NULL || memmem(words, left(line, words), "WARNING", 7))
        return;
    words += 3;
    memmove(up->redis_words[0], up->redis_words[1],
        sizeof(up->redis_words) - sizeof(up->redis_words[0]));
    text_copy(up->redis_words[UP_REDIS_WORDS - 1], sizeof(up->redis_words[0]),
        slice_make(words, left(line, words)));
}

static void
say_disk(const struct up *up)
{
    struct statvfs disk;
    if (statvfs(up->dir.path, &disk) != 0)
        return;
    uint64_t bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (bytes < FULL_BYTES)
        out_tell("  the disk of %s is full (%llu bytes are free): make room; "
                 "what was accepted is kept",
            up->dir.path, (unsigned long long)bytes);
}

void
up_say_redis_end(struct up *up, const char *what, const char *how)
{
    out_say("redis %s (%s)", what, how);
    for (size_t i = 0; i < UP_REDIS_WORDS; i++) {
        if (up->redis_words[i][0] != '\0')
            out_tell("  it said: %s", up->redis_words[i]);
        up->redis_words[i][0] = '\0';
    }
    say_disk(up);
}
