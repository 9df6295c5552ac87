#ifndef LH_BASE_MEMORY_H
#define LH_BASE_MEMORY_H

/*
 * memory: the one allocator of the project.
 *
 * Every function either returns usable memory or ends the process with a
 * line on stderr: jobs are delivered at least once, so a crash is safe, and
 * a half-handled allocation failure is not. It follows that every size that
 * comes from outside must be bounded by the caller before it gets here.
 *
 * memory_install_hooks() hands the same allocator to jansson and libcurl.
 * Below it is malloc(3), which the programs take from mimalloc (Makefile).
 */

#include <stddef.h>

/* On every declaration whose result says whether it worked. */
#define MUST_CHECK __attribute__((warn_unused_result))

/* `size` bytes, not cleared. 0 is allowed and gives a unique pointer. */
void *memory_alloc(size_t size) MUST_CHECK;

/* `count` * `size` bytes, cleared; overflow of the product aborts. */
void *memory_zalloc(size_t count, size_t size) MUST_CHECK;

/* Like realloc(3) without failure; ptr may be NULL. */
void *memory_resize(void *ptr, size_t size) MUST_CHECK;

/* A copy of the string `text` (not NULL); the caller frees it. */
char *memory_dup(const char *text) MUST_CHECK;

/* A copy of `len` bytes with a NUL behind them; the caller frees it. */
char *memory_dup_bytes(const void *data, size_t len) MUST_CHECK;

/* Frees what one of the above returned; NULL is allowed. */
void memory_free(void *ptr);

/*
 * Call once, first thing in main(): installs the allocator in jansson and
 * libcurl (curl_global_init_mem). Aborts if libcurl cannot start.
 */
void memory_install_hooks(void);

#endif
