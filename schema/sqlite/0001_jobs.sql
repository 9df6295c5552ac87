-- Terminal jobs: one row a generation. The small columns are here, what can
-- be large is in `content`, so that lists do not read past big pages.
CREATE TABLE job (
    -- Results of a batch are read by it: greater than any row that is there.
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    -- Not IN (...): SQLite makes a table of such a list for every row.
    state TEXT NOT NULL
        CHECK (state = 'succeeded' OR state = 'failed'
            OR state = 'canceled' OR state = 'expired'),
    version INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    lane TEXT NOT NULL,
    model TEXT NOT NULL,           -- that answered, else that was asked
    created_ms INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,   -- 0: never claimed
    finished_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    unknown_calls INTEGER NOT NULL,
    simulated INTEGER NOT NULL,
    stop_reason TEXT NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_5m_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL,
    cost_usd_nanos INTEGER NOT NULL, -- -1: no price known
    error TEXT,                    -- JSON, NULL: none
    error_type TEXT,               -- Claude's, else our class
    meta TEXT NOT NULL,            -- JSON, as it was in the queue
    idempotency_key TEXT,
    dead INTEGER NOT NULL,         -- a dead letter
    takeovers INTEGER NOT NULL,    -- workers that died with the job
    deleted INTEGER NOT NULL DEFAULT 0, -- only the name is left
    listed INTEGER NOT NULL,       -- newest generation, not deleted
    batch TEXT                     -- uuid, of items of a batch
);

-- Ids are time-ordered, so each of these grows at few places.
CREATE UNIQUE INDEX job_key ON job (id, generation);
CREATE INDEX job_state ON job (state, id) WHERE listed = 1;
CREATE INDEX job_tenant ON job (tenant, id) WHERE listed = 1;
CREATE INDEX job_model ON job (model, id) WHERE listed = 1;
-- Most jobs are in the lane that nobody has to name; a list of it reads ids.
CREATE INDEX job_lane ON job (lane, id)
    WHERE listed = 1 AND lane <> 'standard';
CREATE INDEX job_error_type ON job (error_type, id)
    WHERE listed = 1 AND error_type IS NOT NULL;
CREATE INDEX job_idempotency ON job (tenant, idempotency_key, id)
    WHERE idempotency_key IS NOT NULL;
-- Items of a batch are swept with it.
CREATE INDEX job_finished ON job (finished_ms)
    WHERE dead = 0 AND batch IS NULL;
CREATE INDEX job_dead ON job (finished_ms) WHERE dead = 1 AND batch IS NULL;
CREATE INDEX job_batch ON job (batch) WHERE batch IS NOT NULL;
-- What failed of a batch is asked for by those who let it run again.
CREATE INDEX job_batch_dead ON job (batch)
    WHERE dead = 1 AND batch IS NOT NULL;

CREATE TABLE job_tag (
    tag TEXT NOT NULL,
    id TEXT NOT NULL,
    row INTEGER NOT NULL,          -- of the newest generation
    PRIMARY KEY (tag, id)
) WITHOUT ROWID;

CREATE TABLE content (
    row INTEGER PRIMARY KEY,       -- as in job
    answer BLOB,                   -- Claude's Message
    answer_bytes INTEGER NOT NULL, -- of the Message
    answer_zstd INTEGER NOT NULL,  -- whether `answer` is compressed
    request BLOB                   -- of a dead letter, as the queue kept it
);

-- An ended batch. Until its end it is in the queue.
CREATE TABLE batch (
    uuid TEXT PRIMARY KEY,
    face TEXT NOT NULL,
    tenant TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    cancel_ms INTEGER NOT NULL,    -- 0: not asked for
    ended_ms INTEGER NOT NULL,
    total INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    run TEXT NOT NULL,
    idempotency_key TEXT,
    meta TEXT,
    tally TEXT NOT NULL,           -- JSON, final
    deleted INTEGER NOT NULL DEFAULT 0 -- only the name is left
) WITHOUT ROWID;
CREATE INDEX batch_tenant ON batch (tenant, uuid) WHERE deleted = 0;
CREATE INDEX batch_run ON batch (run, uuid) WHERE deleted = 0 AND run <> '';
CREATE INDEX batch_idempotency ON batch (tenant, idempotency_key, uuid)
    WHERE idempotency_key IS NOT NULL;

CREATE TABLE batch_reject (
    row INTEGER PRIMARY KEY,
    batch TEXT NOT NULL UNIQUE,
    lines BLOB NOT NULL            -- JSON objects, a line each
);

-- What the rows of a batch come to, newest generations only: kept in the
-- transaction of the row, so that a look at the numbers of a batch of 100,000
-- reads four rows. A row is added by whoever inserts it (a trigger would make
-- every insert a third dearer, also of jobs without a batch) and taken off by
-- the trigger below.
CREATE TABLE batch_tally (
    batch TEXT NOT NULL,
    state TEXT NOT NULL,
    jobs INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_5m_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL,
    cost_usd_nanos INTEGER NOT NULL, -- of those with a known price
    unpriced INTEGER NOT NULL,       -- without one, though tokens were used
    PRIMARY KEY (batch, state)
) WITHOUT ROWID;

-- A replay has taken its place. (Deleted rows count on.)
CREATE TRIGGER job_is_superseded AFTER UPDATE OF listed ON job
WHEN new.batch IS NOT NULL AND old.listed = 1 AND new.listed = 0
    AND new.deleted = 0
BEGIN
    UPDATE batch_tally SET
        jobs = jobs - 1,
        input_tokens = input_tokens - old.input_tokens,
        output_tokens = output_tokens - old.output_tokens,
        cache_read_tokens = cache_read_tokens - old.cache_read_tokens,
        cache_write_5m_tokens =
            cache_write_5m_tokens - old.cache_write_5m_tokens,
        cache_write_1h_tokens =
            cache_write_1h_tokens - old.cache_write_1h_tokens,
        cost_usd_nanos = cost_usd_nanos - max(old.cost_usd_nanos, 0),
        unpriced = unpriced - (old.cost_usd_nanos < 0
            AND old.input_tokens + old.output_tokens > 0)
    WHERE batch = old.batch AND state = old.state;
END;

CREATE TABLE installation (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- The first terminal row of a generation wins. What may change later: which
-- generation is the newest, the dead letter's flag, and deletion.
CREATE TRIGGER job_is_final BEFORE UPDATE ON job
WHEN new.row IS NOT old.row
    OR new.id IS NOT old.id
    OR new.generation IS NOT old.generation
    OR new.state IS NOT old.state
    OR new.version IS NOT old.version
    OR new.tenant IS NOT old.tenant
    OR new.created_ms IS NOT old.created_ms
    OR new.finished_ms IS NOT old.finished_ms
    OR new.cost_usd_nanos IS NOT old.cost_usd_nanos
    OR new.deleted < old.deleted
    OR new.dead > old.dead
    OR (new.deleted = 0 AND (new.meta IS NOT old.meta
        OR new.model IS NOT old.model
        OR new.stop_reason IS NOT old.stop_reason
        OR new.error IS NOT old.error
        OR new.output_tokens IS NOT old.output_tokens
        OR new.idempotency_key IS NOT old.idempotency_key))
BEGIN
    SELECT RAISE(ABORT, 'a terminal row does not change');
END;

CREATE TRIGGER batch_is_final BEFORE UPDATE ON batch
WHEN new.uuid IS NOT old.uuid
    OR new.tenant IS NOT old.tenant
    OR new.total IS NOT old.total
    OR new.tally IS NOT old.tally
    OR new.ended_ms IS NOT old.ended_ms
    OR new.deleted < old.deleted
BEGIN
    SELECT RAISE(ABORT, 'an ended batch does not change');
END;

CREATE TRIGGER content_is_final BEFORE UPDATE ON content
WHEN new.row IS NOT old.row
    OR new.answer_bytes IS NOT old.answer_bytes
    OR (new.answer IS NOT NULL AND new.answer IS NOT old.answer)
    OR (new.request IS NOT NULL AND new.request IS NOT old.request)
BEGIN
    SELECT RAISE(ABORT, 'a terminal row does not change');
END;
