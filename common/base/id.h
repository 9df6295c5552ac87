#ifndef LH_BASE_ID_H
#define LH_BASE_ID_H

/*
 * id: identifiers such as job_0199f6a2-5c1e-7abc-9def-0123456789ab: a short
 * prefix and a version 7 UUID (RFC 9562 5.7) in its standard lower-case text
 * form. Ids made by one process ascend strictly, also within a millisecond;
 * their first 48 bits are the wall clock.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/text.h"

#define ID_UUID_LEN 36
#define ID_PREFIX_MAX 12
/* Any id with its NUL. */
#define ID_SIZE (ID_PREFIX_MAX + ID_UUID_LEN + 1)

/* prefix ("job_", "req_", ...; at most ID_PREFIX_MAX bytes) + UUID. */
void id_make(const char *prefix, char out[ID_SIZE]);
/* Whether `in` is exactly `prefix` and a well-formed version 7 UUID in the
 * lower-case form that id_make prints. */
bool id_is_valid(struct slice in, const char *prefix);
/*
 * The id of the member `name` of a group (a version 7 UUID in text form):
 * always the same for the same two. Its time is the group's, its other 74
 * bits are from SHA-256(the group's 16 bytes, name).
 */
void id_make_member(const char *prefix, const char *group, struct slice name,
    char out[ID_SIZE]);
/* The milliseconds inside a valid id. */
int64_t id_wall_ms(struct slice in);
/* `len` bytes from the kernel's generator. Aborts if there is none. */
void id_random_bytes(void *out, size_t len);

#endif
