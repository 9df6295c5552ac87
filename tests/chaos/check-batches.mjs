// check-batches.mjs DIR DATABASE REDIS_SOCKET
//
// The checker of batches: reads the client's log in DIR, the database through
// the sqlite3 program and Redis through redis-cli. A batch is complete or
// absent, its numbers always sum up, and an ended one never changes. Exit
// status 1 when a promise is broken.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const [dir, database, socket] = process.argv.slice(2);
const sql = (query) => JSON.parse(execFileSync('sqlite3', ['-readonly', '-json',
  database, query], { encoding: 'utf8', maxBuffer: 1 << 28 }) || '[]');
const redis = (...words) => execFileSync('redis-cli', ['-s', socket, ...words],
  { encoding: 'utf8', maxBuffer: 1 << 28 }).trim();
const client = readFileSync(join(dir, 'client.jsonl'), 'utf8').split('\n')
  .filter(Boolean).map((line) => JSON.parse(line));
const of = (event) => client.filter((l) => l.event === event);

let broken = false;
function claim(what, offending) {
  if (offending.length === 0) return;
  broken = true;
  console.log(`BROKEN batches: ${what}: ${offending.length}`);
  for (const one of offending.slice(0, 10)) console.log(`    ${JSON.stringify(one)}`);
}
const sum = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);

const accepted = of('bulk');
const posts = of('bulk_post');
const itemsOfRun = new Map(posts.map((l) => [l.run, l.items]));
const itemsOf = new Map(accepted.map((l) => [l.uuid, l.items]));
const seen = of('bulk_seen').filter((l) => l.status === 200)
  .sort((a, b) => a.began - b.began);
const stored = sql('SELECT uuid, total, tally, run, face FROM batch');
const storedBy = new Map(stored.map((row) => [row.uuid, row]));

claim('accepted ones that are not complete', accepted.filter((l) =>
  storedBy.get(l.uuid)?.total !== l.items));
claim('accepted twice', accepted.filter((l, i) =>
  accepted.findIndex((other) => other.run === l.run) !== i));
claim('neither complete nor absent', stored.filter((row) => (row.run
  ? itemsOfRun.get(row.run) : itemsOf.get(row.uuid) ?? row.total) !== row.total));
claim('one run, two batches', stored.filter((row) => row.run
  && stored.find((other) => other.run === row.run) !== row));
claim('numbers that do not sum up', seen.filter((l) => sum(l.counts) !== l.accepted
  || l.accepted !== itemsOf.get(l.uuid)));
claim('accepted ones that a later reader did not find', of('bulk_seen')
  .filter((l) => l.status === 404));

// An ended one: the first look that says so, and every look that began after
// its answer.
const ends = new Map();
const changed = [];
for (const l of seen) {
  const end = ends.get(l.uuid);
  if (end && l.began > end.began + end.ms && (l.state !== 'ended'
    || JSON.stringify(l.counts) !== JSON.stringify(end.counts))) changed.push(l);
  if (!end && l.state === 'ended') ends.set(l.uuid, l);
}
claim('ended ones that changed', changed);

// What is in the store: the newest generations up to the last row.
const wrong = [];
for (const row of stored) {
  const tally = JSON.parse(row.tally);
  const states = Object.fromEntries(sql(`SELECT state, count(*) AS n FROM job AS j `
    + `WHERE batch = '${row.uuid}' AND row <= ${tally.lr ?? 0} AND NOT EXISTS `
    + `(SELECT 1 FROM job AS n WHERE n.id = j.id AND n.generation > j.generation `
    + `AND n.row <= ${tally.lr ?? 0}) GROUP BY state`).map((r) => [r.state, r.n]));
  const same = (state, key) => (states[state] ?? 0) === (tally[key] ?? 0);
  if (!same('succeeded', 'ok') || !same('failed', 'fa') || !same('canceled', 'ca')
    || !same('expired', 'ex') || sum(states) !== row.total) {
    wrong.push({ uuid: row.uuid, states, tally, total: row.total });
  }
}
claim('numbers that are not those of their rows', wrong);
const listed = sql('SELECT batch, state, count(*) AS n FROM job WHERE batch IS NOT '
  + 'NULL AND (listed = 1 OR deleted = 1) GROUP BY batch, state');
const tallies = new Map(sql('SELECT batch, state, jobs FROM batch_tally')
  .map((r) => [`${r.batch} ${r.state}`, r.jobs]));
claim('live numbers that are not those of their rows', listed.filter((r) =>
  tallies.get(`${r.batch} ${r.state}`) !== r.n));
claim('keys in Redis after the end', redis('--scan', '--pattern', 'lh:{0}:batch*')
  .split('\n').filter(Boolean));

console.log(`# batches: ${accepted.length} accepted, ${posts.length} uploads, `
  + `${stored.reduce((n, row) => n + row.total, 0)} items, ${seen.length} looks`);
process.exit(broken ? 1 : 0);
