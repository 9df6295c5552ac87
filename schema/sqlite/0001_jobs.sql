-- Terminal jobs: one row a generation. The small columns are here, what can
-- be large is in `content`, so that lists do not read past big pages.
CREATE TABLE job (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('succeeded', 'failed', 'canceled', 'expired')),
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
    listed INTEGER NOT NULL        -- newest generation, not deleted
);

-- Ids are time-ordered, so each of these grows at few places.
CREATE UNIQUE INDEX job_key ON job (id, generation);
CREATE INDEX job_state ON job (state, id) WHERE listed = 1;
CREATE INDEX job_tenant ON job (tenant, id) WHERE listed = 1;
CREATE INDEX job_model ON job (model, id) WHERE listed = 1;
CREATE INDEX job_error_type ON job (error_type, id)
    WHERE listed = 1 AND error_type IS NOT NULL;
CREATE INDEX job_idempotency ON job (tenant, idempotency_key, id)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX job_finished ON job (finished_ms) WHERE dead = 0;
CREATE INDEX job_dead ON job (finished_ms) WHERE dead = 1;

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

CREATE TRIGGER content_is_final BEFORE UPDATE ON content
WHEN new.row IS NOT old.row
    OR new.answer_bytes IS NOT old.answer_bytes
    OR (new.answer IS NOT NULL AND new.answer IS NOT old.answer)
    OR (new.request IS NOT NULL AND new.request IS NOT old.request)
BEGIN
    SELECT RAISE(ABORT, 'a terminal row does not change');
END;
