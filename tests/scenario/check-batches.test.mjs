// The checker of batches in chaos runs is shown what is right, and then one
// planted fault after the other: each must be named.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { root, startRedis, stopAll, tmpdir } from './lib/index.mjs';

const A = '0199f2f0-0000-7000-8000-00000000000a';
const GHOST = '0199f2f0-0000-7000-8000-00000000000b';
const LOG = [
  { event: 'bulk_post', run: 'run-1', items: 2, status: 202 },
  { event: 'bulk', run: 'run-1', uuid: A, items: 2 },
  { event: 'bulk_seen', uuid: A, status: 200, state: 'in_progress', began: 10,
    ms: 1, accepted: 2, counts: { queued: 1, succeeded: 1 } },
  { event: 'bulk_seen', uuid: A, status: 200, state: 'ended', began: 20, ms: 1,
    accepted: 2, counts: { queued: 0, succeeded: 2 } },
  { event: 'bulk_seen', uuid: A, status: 200, state: 'ended', began: 30, ms: 1,
    accepted: 2, counts: { queued: 0, succeeded: 2 } },
];

const job = (n, state = 'succeeded') => `INSERT INTO job VALUES (${n}, 'j${n}',
  0, '${state}', 3, 't', 'bulk', 'm', 1, 1, 2, 1, 0, 0, '', 1, 1, 0, 0, 0, -1,
  NULL, NULL, '{}', NULL, 0, 0, 0, 1, '${A}');`;
const batch = (uuid, run, total, ok) => `INSERT INTO batch VALUES ('${uuid}',
  'native', 't', 1, 9, 0, 5, ${total}, 0, 'x', '${run}', NULL, NULL,
  '{"ok":${ok},"lr":2}', 0);`;
const tally = (n) => `INSERT INTO batch_tally (batch, state, jobs, input_tokens,
  output_tokens, cache_read_tokens, cache_write_5m_tokens,
  cache_write_1h_tokens, cost_usd_nanos, unpriced)
  VALUES ('${A}', 'succeeded', ${n}, 2, 2, 0, 0, 0, 0, 2);`;
const GOOD = job(1) + job(2) + batch(A, 'run-1', 2, 2) + tally(2);

describe('the checker of batches', () => {
  let redis;
  const schema = readFileSync(join(root, 'schema/sqlite/0001_jobs.sql'), 'utf8');
  before(async () => { redis = await startRedis(); });
  after(stopAll);

  function check(log = LOG, rows = GOOD) {
    const dir = tmpdir('longhaul-check-');
    const database = join(dir, 'jobs.db');
    execFileSync('sqlite3', [database], { input: schema + rows });
    writeFileSync(join(dir, 'client.jsonl'),
      log.map((line) => `${JSON.stringify(line)}\n`).join(''));
    const { status, stdout, stderr } = spawnSync(process.execPath,
      [join(root, 'tests/chaos/check-batches.mjs'), dir, database,
        redis.socket], { encoding: 'utf8' });
    assert.equal(stderr, '');
    return { status, stdout };
  }
  const changed = (at, change) =>
    LOG.map((line, i) => (i === at ? { ...line, ...change } : line));

  test('has nothing to say when all is well', () => {
    const { status, stdout } = check();
    assert.equal(status, 0, stdout);
    assert.match(stdout, /# batches: 1 accepted, 1 uploads, 2 items, 3 looks/);
  });

  const faults = [
    ['accepted ones that are not complete', LOG, job(1) + tally(1)],
    ['neither complete nor absent', LOG, job(1) + tally(1)
      + batch(A, 'run-1', 1, 1)],
    ['one run, two batches', LOG, GOOD + batch(GHOST, 'run-1', 2, 0)],
    ['accepted twice', [...LOG, { ...LOG[1], uuid: GHOST }], GOOD],
    ['numbers that do not sum up',
      changed(2, { counts: { queued: 0, succeeded: 1 } }), GOOD],
    ['accepted ones that a later reader did not find',
      changed(4, { status: 404 }), GOOD],
    ['ended ones that changed', changed(4, { state: 'in_progress' }), GOOD],
    ['numbers that are not those of their rows', LOG, job(1)
      + job(2, 'canceled') + batch(A, 'run-1', 2, 2) + tally(1)],
    ['live numbers that are not those of their rows', LOG, job(1) + job(2)
      + batch(A, 'run-1', 2, 2) + tally(3)],
  ];
  for (const [name, log, rows] of faults) {
    test(`names ${name}`, () => {
      const { status, stdout } = check(log, rows);
      assert.equal(status, 1, stdout);
      assert.ok(stdout.includes(`BROKEN batches: ${name}: `), stdout);
    });
  }

  test('names keys in Redis after the end', () => {
    const key = `lh:{0}:batch:${A}:again`;
    const cli = (...words) =>
      execFileSync('redis-cli', ['-s', redis.socket, ...words]);
    cli('SADD', key, 'j1');
    const { status, stdout } = check();
    cli('DEL', key);
    assert.equal(status, 1, stdout);
    assert.match(stdout, /BROKEN batches: keys in Redis after the end: 1/);
  });
});
