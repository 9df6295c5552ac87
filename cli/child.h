#ifndef LH_CLI_CHILD_H
#define LH_CLI_CHILD_H

/*
 * child: the programs that `up` runs: started, listened to, asked every
 * second whether they live, killed when they do not answer, started again
 * after a while when they end. They are in process groups of their own, so
 * that Ctrl-C reaches `up` alone, and get SIGTERM when it dies.
 */

#include <event2/event.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/base/buffer.h"

#define CHILD_NAME_MAX 32
#define CHILD_ADDRESS_MAX 160

struct children;
struct child;

/* Runs for each line that a child writes to its stdout. */
typedef void children_on_line(
    void *arg, struct child *child, struct slice line);
/* Runs when a child has ended, however. `status` is waitpid's. */
typedef void children_on_end(void *arg, struct child *child, int status);

struct children *children_new(struct event_base *base, int64_t stall_ms,
    children_on_line *on_line, children_on_end *on_end, void *arg);
/* Kills what is left. */
void children_free(struct children *children);

/* NULL-terminated lists of words, owned. */
struct child_words {
    char **items;
    size_t count;
};
void child_words_add(struct child_words *words, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void child_words_clear(struct child_words *words);

struct child_spec {
    const char *name;
    const char *path; /* of the program */
    struct child_words argv; /* taken over, likewise below */
    struct child_words env;
    const char *directory; /* to run in, or NULL */
    const char *question; /* asked at its address to see whether it lives */
    bool once; /* not started again */
    int group; /* groups are ended from the highest */
};
struct child *child_start(struct children *children, struct child_spec *spec);

const char *child_name(const struct child *child);
pid_t child_pid(const struct child *child);
/* In a row, without a healthy life in between. */
unsigned child_failures(const struct child *child);
/* Where it is asked: "127.0.0.1:PORT" or "unix:PATH"; without one it is not
 * asked. */
void child_set_address(struct child *child, const char *address);
const char *child_address(const struct child *child);
/* For the next start. */
void child_add_word(struct child *child, const char *word);

/* Sends a signal to those of the group that run; none starts again. Returns
 * how many still run. */
unsigned children_end(struct children *children, int group, int signal);
unsigned children_running(const struct children *children, int group);

/* "exit code 1", "killed by SIGKILL" */
void child_describe_end(int status, char *out, size_t size);

#endif
