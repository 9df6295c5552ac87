#ifndef LH_FAKE_RECORD_H
#define LH_FAKE_RECORD_H

/*
 * record: requests as they came, one file each (DIR/<wall clock in
 * ms>-<call>.http: the order of names is the order of calls), so that a test
 * can compare headers and body byte for byte. Credentials are replaced
 * by "***". Header names keep their case and order; blanks around a value
 * are gone.
 */

#include "common/net/http_parse.h"

/* Makes the directory if it is missing. 0 or -1 with errno. */
int record_prepare(const char *dir) MUST_CHECK;
/* 0 or -1 with errno. */
int record_write(const char *dir, uint64_t number, const struct http_head *head,
    struct slice body) MUST_CHECK;
/* The text that record_write() puts into the file. */
void record_append(
    struct buffer *out, const struct http_head *head, struct slice body);

#endif
