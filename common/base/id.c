#include "common/base/id.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <uuid/uuid.h>

#include "common/base/clock.h"

/* One system call for about 250 ids. */
#define POOL_BYTES 4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char pool[POOL_BYTES];
static size_t pool_left;

/* The last id: milliseconds, 12 bits of rand_a and 62 of rand_b. */
static int64_t last_ms;
static uint64_t last_a;
static uint64_t last_b;

#define A_MAX UINT64_C(0xfff)
#define B_MAX UINT64_C(0x3fffffffffffffff)

static void
lock_pool(void)
{
    pthread_mutex_lock(&lock);
}

static void
unlock_pool(void)
{
    pthread_mutex_unlock(&lock);
}

/* A forked child must not hand out the bytes its parent also holds. */
static void
forget_pool(void)
{
    pool_left = 0;
    pthread_mutex_unlock(&lock);
}

static void
watch_forks(void)
{
    int failed = pthread_atfork(lock_pool, unlock_pool, forget_pool);
    assert(!failed);
}

static void
ask_kernel(unsigned char *out, size_t len)
{
    while (len > 0) {
        ssize_t got = getrandom(out, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort();
        out += got;
        len -= (size_t)got;
    }
}

/* The caller holds the lock. */
static void
take_random(void *out, size_t len)
{
    if (len > POOL_BYTES / 4) {
        ask_kernel(out, len);
        return;
    }
    if (len > pool_left) {
        ask_kernel(pool, POOL_BYTES);
        pool_left = POOL_BYTES;
    }
    pool_left -= len;
    memcpy(out, pool + pool_left, len);
    memset(pool + pool_left, 0, len);
}

static void
enter(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    lock_pool();
}

void
id_random_bytes(void *out, size_t len)
{
    enter();
    take_random(out, len);
    unlock_pool();
}

/*
 * RFC 9562 6.2, method 2: a new millisecond starts at a random number with
 * its top bit clear, the same one adds a random step. When the clock stands
 * or goes back, the last millisecond is kept.
 */
static void
advance(void)
{
    int64_t ms = clock_wall_ms();
    uint32_t step;
    if (ms > last_ms) {
        uint64_t random[2];
        take_random(random, sizeof(random));
        last_ms = ms;
        last_a = random[0] & (A_MAX >> 1);
        last_b = random[1] & B_MAX;
        return;
    }
    take_random(&step, sizeof(step));
    last_b += (uint64_t)step + 1;
    if (last_b > B_MAX) {
        last_b &= B_MAX;
        last_a++;
    }
    if (last_a > A_MAX) {
        last_a = 0;
        last_ms++;
    }
}

static void
put_bits(unsigned char *out, size_t len, uint64_t value)
{
    for (size_t i = len; i > 0; i--) {
        out[i - 1] = (unsigned char)value;
        value >>= 8;
    }
}

void
id_make(const char *prefix, char out[ID_SIZE])
{
    uuid_t uuid;
    size_t prefix_len = strlen(prefix);
    assert(prefix_len <= ID_PREFIX_MAX);
    enter();
    advance();
    put_bits(uuid, 6, (uint64_t)last_ms);
    put_bits(uuid + 6, 2, UINT64_C(0x7000) | last_a);
    put_bits(uuid + 8, 8, UINT64_C(0x8000000000000000) | last_b);
    unlock_pool();
    memcpy(out, prefix, prefix_len);
    uuid_unparse_lower(uuid, out + prefix_len);
}

void
id_make_member(
    const char *prefix, const char *group, struct slice name, char out[ID_SIZE])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    char text[ID_UUID_LEN + 1];
    uuid_t of_group, uuid;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    size_t prefix_len = strlen(prefix);
    bool good = text_copy(text, sizeof(text), slice_of(group)) &&
        uuid_parse(text, of_group) == 0;
    assert(good && prefix_len <= ID_PREFIX_MAX && md != NULL);
    good = EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
        EVP_DigestUpdate(md, of_group, sizeof(of_group)) == 1 &&
        EVP_DigestUpdate(md, name.data, name.len) == 1 &&
        EVP_DigestFinal_ex(md, hash, NULL) == 1;
    assert(good);
    EVP_MD_CTX_free(md);
    memcpy(uuid, hash, sizeof(uuid));
    memcpy(uuid, of_group, 6); /* the time */
    uuid[6] = (unsigned char)(0x70 | (uuid[6] & 0x0f));
    uuid[8] = (unsigned char)(0x80 | (uuid[8] & 0x3f));
    memcpy(out, prefix, prefix_len);
    uuid_unparse_lower(uuid, out + prefix_len);
}

bool
id_is_valid(struct slice in, const char *prefix)
{
    size_t prefix_len = strlen(prefix);
    char text[ID_UUID_LEN + 1], canonical[ID_UUID_LEN + 1];
    uuid_t uuid;
    if (!slice_starts_with(in, prefix) || in.len - prefix_len != ID_UUID_LEN)
        return false;
    memcpy(text, in.data + prefix_len, ID_UUID_LEN);
    text[ID_UUID_LEN] = '\0';
    if (uuid_parse(text, uuid) != 0)
        return false;
    uuid_unparse_lower(uuid, canonical);
    return strcmp(text, canonical) == 0 && uuid[6] >> 4 == 7 &&
        uuid[8] >> 6 == 2;
}

int64_t
id_wall_ms(struct slice in)
{
    char text[ID_UUID_LEN + 1];
    uuid_t uuid;
    assert(in.len >= ID_UUID_LEN);
    memcpy(text, in.data + in.len - ID_UUID_LEN, ID_UUID_LEN);
    text[ID_UUID_LEN] = '\0';
    int failed = uuid_parse(text, uuid);
    assert(!failed);
    int64_t ms = 0;
    for (size_t i = 0; i < 6; i++)
        ms = ms * 256 + uuid[i];
    return ms;
}
