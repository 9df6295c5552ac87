#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/store/sqlite.h"

/*
 * Lists: the most selective filter picks the index, which gives the ids in
 * order; the other filters look at the rows. The text of the statement is put
 * together from constants only; values are always bound.
 */

#define MAX_VALUES 14

struct query {
    struct buffer sql;
    unsigned count;
    struct {
        const char *text; /* or NULL: number */
        int64_t number;
    } values[MAX_VALUES];
    char from_id[ID_SIZE];
    char until_id[ID_SIZE];
    char batch_id[ID_SIZE];
};

static void
where_text(struct query *query, const char *condition, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return;
    buffer_append_text(&query->sql, condition);
    query->values[query->count++].text = text;
}

static void
where_number(struct query *query, const char *condition, int64_t number)
{
    if (number <= 0)
        return;
    buffer_append_text(&query->sql, condition);
    query->values[query->count++].number = number;
}

/* The smallest id of a millisecond. created_ms is the time in the id, so a
 * span of time is a span of ids, and no row beside it is looked at. */
static const char *
id_bound(char out[ID_SIZE], int64_t wall_ms)
{
    uint64_t ms = wall_ms < 0 ? 0 : (uint64_t)wall_ms & 0xffffffffffff;
    snprintf(out, ID_SIZE, JOB_ID_PREFIX "%08" PRIx64 "-%04" PRIx64, ms >> 16,
        ms & 0xffff);
    return out;
}

/* The smallest id of an item of a batch: they all have its 48 bits of time,
 * so the index of ids leads to them, in order. */
static const char *
batch_bound(char out[ID_SIZE], const char *uuid)
{
    snprintf(out, ID_SIZE, JOB_ID_PREFIX "%.13s", uuid);
    return out;
}

/* Whether the index of the lanes that are less common has it. */
static bool
is_rare_lane(const struct store_filter *filter)
{
    return filter->lane != NULL &&
        strcmp(filter->lane, job_lane_name(JOB_LANE_STANDARD)) != 0;
}

static const char *
pick_source(const struct store_filter *filter)
{
    if (filter->batch != NULL)
        return "job AS j INDEXED BY job_key";
    if (filter->error_type != NULL)
        return "job AS j INDEXED BY job_error_type";
    if (filter->has_state && filter->state != JOB_SUCCEEDED)
        return "job AS j INDEXED BY job_state";
    if (is_rare_lane(filter))
        return "job AS j INDEXED BY job_lane";
    if (filter->tenant != NULL)
        return "job AS j INDEXED BY job_tenant";
    if (filter->model != NULL)
        return "job AS j INDEXED BY job_model";
    if (filter->has_state)
        return "job AS j INDEXED BY job_state";
    return "job AS j INDEXED BY job_key";
}

/*
 * The span of ids: one bound at each end, the narrowest. With two SQLite would
 * seek to one of them and look at each row from there to the other.
 */
static void
put_span(
    struct query *query, const struct store_filter *filter, const char *before)
{
    bool by_tag = filter->tag != NULL;
    const char *from = NULL;
    const char *until = before != NULL && before[0] != '\0' ? before : NULL;
    if (filter->batch != NULL)
        from = batch_bound(query->batch_id, filter->batch);
    if (filter->after_ms > 0) {
        const char *id = id_bound(query->from_id, filter->after_ms);
        from = from == NULL || strcmp(id, from) > 0 ? id : from;
    }
    if (filter->before_ms > 0) {
        const char *id = id_bound(query->until_id, filter->before_ms);
        until = until == NULL || strcmp(id, until) < 0 ? id : until;
    }
    where_text(query, by_tag ? " AND t.id >= ?" : " AND j.id >= ?", from);
    where_text(query, by_tag ? " AND t.id < ?" : " AND j.id < ?", until);
}

static void
put_filters(
    struct query *query, const struct store_filter *filter, const char *before)
{
    where_text(query, " AND t.tag = ?", filter->tag);
    put_span(query, filter, before);
    if (filter->has_state)
        where_text(query, " AND j.state = ?", job_state_name(filter->state));
    where_text(query, " AND j.tenant = ?", filter->tenant);
    where_text(query, " AND j.model = ?", filter->model);
    where_text(query, " AND j.lane = ?", filter->lane);
    /* As the index says it, so that it is taken. */
    if (is_rare_lane(filter))
        buffer_append_text(&query->sql, " AND j.lane <> 'standard'");
    where_text(query, " AND j.error_type = ?", filter->error_type);
    where_text(query, " AND j.batch = ?", filter->batch);
    where_number(query, " AND j.created_ms >= ?", filter->after_ms);
    where_number(query, " AND j.created_ms < ?", filter->before_ms);
}

static void
build(struct query *query, const struct store_list_query *list)
{
    const struct store_filter *filter = &list->filter;
    bool by_tag = filter->tag != NULL;
    buffer_append_text(&query->sql, "SELECT " SQLITE_ROW_COLUMNS " FROM ");
    if (by_tag)
        buffer_append_text(
            &query->sql, "job_tag AS t CROSS JOIN job AS j ON j.row = t.row");
    else
        buffer_append_text(&query->sql, pick_source(filter));
    buffer_append_text(&query->sql, " WHERE j.listed = 1");
    put_filters(query, filter, list->before);
    buffer_append_text(&query->sql,
        by_tag ? " ORDER BY t.id DESC LIMIT ?" : " ORDER BY j.id DESC LIMIT ?");
}

static void
bind_values(sqlite3_stmt *stmt, const struct query *query, unsigned limit)
{
    for (unsigned i = 0; i < query->count; i++) {
        if (query->values[i].text != NULL)
            sqlite_bind_text(stmt, (int)i + 1, query->values[i].text);
        else
            sqlite3_bind_int64(stmt, (int)i + 1, query->values[i].number);
    }
    sqlite3_bind_int64(stmt, (int)query->count + 1, limit);
}

/* A broken row is logged and left out, so that the others can be seen. */
static int
take_rows(sqlite3_stmt *stmt, struct store_work *work)
{
    int rc;
    size_t count = 0;
    unsigned limit = work->list->limit;
    struct job_result *rows = memory_zalloc(limit, sizeof(*rows));
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW && count < limit)
        if (sqlite_row_read(stmt, &rows[count]) == 0)
            count++;
    work->rows = rows;
    work->count = count;
    work->status = STORE_OK;
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

int
sqlite_list_run(sqlite3 *db, struct store_work *work)
{
    struct query query = {.count = 0};
    build(&query, work->list);
    sqlite3_stmt *stmt = sqlite_prepare(db, query.sql.data);
    int rc = sqlite3_errcode(db);
    if (stmt != NULL) {
        bind_values(stmt, &query, work->list->limit);
        rc = take_rows(stmt, work);
        sqlite3_finalize(stmt);
    }
    buffer_clear(&query.sql);
    return rc;
}
