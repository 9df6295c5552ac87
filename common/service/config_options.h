#ifndef LH_SERVICE_CONFIG_OPTIONS_H
#define LH_SERVICE_CONFIG_OPTIONS_H

/*
 * config_options: the one table of settings, and those of the sections [pool
 * NAME] and [route NAME], for config.c (reading), config_show.c (showing) and
 * nobody else.
 */

#include "common/service/config.h"

enum config_kind {
    CONFIG_TEXT,
    CONFIG_SECRET, /* never shown, no flag, NAME_FILE in the environment */
    CONFIG_PATH,
    CONFIG_DURATION, /* ms */
    CONFIG_BYTES,
    CONFIG_COUNT,
    CONFIG_BOOL
};

struct config_option {
    const char *name; /* in the file; the flag has - for _ */
    const char *env; /* NULL: has neither variable nor flag */
    enum config_kind kind;
    size_t offset; /* in struct config, config_pool or config_route */
    const char *fallback; /* as it would be written; NULL: unset */
    uint64_t min; /* of numbers */
    uint64_t max;
    /* Further demands on text: NULL when fine, else what is wanted. */
    const char *(*check)(struct slice value);
    const char *help;
};

/* Ends with a NULL name. */
extern const struct config_option config_options[];
#define CONFIG_OPTIONS_MAX 64
extern const struct config_option config_pool_options[];
#define CONFIG_POOL_OPTIONS_MAX 16
extern const struct config_option config_route_options[];
#define CONFIG_ROUTE_OPTIONS_MAX 8

enum config_origin {
    CONFIG_ORIGIN_DEFAULT,
    CONFIG_ORIGIN_FILE,
    CONFIG_ORIGIN_ENVIRONMENT,
    CONFIG_ORIGIN_FLAG
};

/* What config_load() really allocates. */
struct config_loaded {
    struct config config; /* first: callers hold a pointer to it */
    enum config_origin origin[CONFIG_OPTIONS_MAX];
    unsigned line[CONFIG_OPTIONS_MAX]; /* in the file */
    char *path; /* of the file, or NULL */
};

/* A pool as it is really allocated. */
struct config_pool_loaded {
    struct config_pool pool; /* first: callers hold a pointer to it */
    enum config_origin origin[CONFIG_POOL_OPTIONS_MAX];
    unsigned line[CONFIG_POOL_OPTIONS_MAX];
};

/* A route as it is really allocated. */
struct config_route_loaded {
    struct config_route route; /* first: callers hold a pointer to it */
    enum config_origin origin[CONFIG_ROUTE_OPTIONS_MAX];
    unsigned line[CONFIG_ROUTE_OPTIONS_MAX];
};

/* Where values go: a struct with its table, and what is noted of each. */
struct config_place {
    void *base;
    const struct config_option *options;
    enum config_origin *origin;
    unsigned *line;
};
struct config_place config_place_of_pool(struct config_pool *pool);

/* The pool of a section, which is made when it is new, with its defaults
 * missing. NULL with what is wanted of the name. */
struct config_pool *config_pool_section(struct config *config,
    struct slice name, bool *is_new, const char **wanted);
/* After everything was read: the pool that the other settings make. */
void config_pools_complete(struct config *config);
void config_pools_free(struct config *config);
/* The same of routes. */
struct config_place config_place_of_route(struct config_route *route);
struct config_route *config_route_section(struct config *config,
    struct slice name, bool *is_new, const char **wanted);
/* Tells of routes that lead nowhere. */
void config_routes_check(
    const struct config *config, const char *path, struct buffer *errors);
void config_routes_free(struct config *config);
/* The name of a section: NULL when fine, else what is wanted. */
const char *config_check_section_name(struct slice name);
const char *config_check_web_url(struct slice value);

/* "--redis-url" for "redis_url"; "" for a secret. */
void config_flag_name(
    const struct config_option *option, char *out, size_t size);
/* base: the struct that the table is of. */
char **config_text_at(void *base, const struct config_option *option);
uint64_t *config_number_at(void *base, const struct config_option *option);
bool *config_bool_at(void *base, const struct config_option *option);
bool config_kind_is_text(enum config_kind kind);

#endif
