// check.mjs DIR DATABASE REDIS_SOCKET STATUS_URL
//
// The checker. Shares no code with the programs or with what drives them:
// it reads the client's log, the simulator's ledger, the proxy's record and
// the list of faults in DIR, the database through the sqlite3 program and
// Redis through redis-cli, and asserts what longhaul promises. Each broken
// promise is printed with the ids; exit status 1.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [dir, database, socket, statusUrl] = process.argv.slice(2);
const P = 'lh:{0}:';
const TERMINAL = new Set(['succeeded', 'failed', 'canceled', 'expired']);
const DEADLINE_MS = 9000; // a submit has 5 s; the machine may be busy
const LEASE_MS = 3334; // of builds with crash points

const read = (name) => (existsSync(join(dir, name))
  ? readFileSync(join(dir, name), 'utf8').split('\n').filter(Boolean)
    .map((line) => JSON.parse(line)) : []);
const sql = (query) => JSON.parse(execFileSync('sqlite3', ['-readonly', '-json',
  database, query], { encoding: 'utf8', maxBuffer: 1 << 28 }) || '[]');
const redis = (...words) => execFileSync('redis-cli', ['-s', socket, ...words],
  { encoding: 'utf8', maxBuffer: 1 << 28 }).trim();

const client = read('client.jsonl');
const events = read('events.jsonl');
const proxy = read('proxy.jsonl');
const ledger = read('ledger.jsonl').filter((l) => l.path === '/v1/messages');
const rows = sql('SELECT id, generation, state, version, finished_ms, attempts, '
  + 'unknown_calls, input_tokens, output_tokens, cache_read_tokens, '
  + 'cache_write_5m_tokens, cache_write_1h_tokens, cost_usd_nanos, '
  + 'meta, idempotency_key, dead, model, deleted FROM job ORDER BY id, generation');

const broken = [];
function claim(number, what, offending) {
  if (offending.length === 0) return;
  broken.push(number);
  console.log(`BROKEN ${number}: ${what}: ${offending.length}`);
  for (const one of offending.slice(0, 10)) {
    console.log(`    ${typeof one === 'string' ? one : JSON.stringify(one)}`);
  }
}
function group(list, key) {
  const map = new Map();
  for (const item of list) {
    const at = key(item);
    if (at === null || at === undefined) continue;
    if (map.has(at)) map.get(at).push(item);
    else map.set(at, [item]);
  }
  return map;
}

const bodies = new Map(client.filter((l) => l.event === 'body')
  .map((l) => [l.sha, l]));
const accepted = client.filter((l) => l.event === 'accepted');
const rowsOf = group(rows, (row) => row.id);
/** Its owner had it erased; only the name is left. */
const erased = new Set(rows.filter((row) => row.deleted).map((row) => row.id));
// With a batch its items are taken away whole.
for (const { id } of client.filter((l) => l.event === 'batch_deleted')) {
  for (const [, job] of client.find((l) => l.event === 'batch_ended'
    && l.id === id)?.items ?? []) erased.add(job);
}
const operations = client.filter((l) => l.event === 'operation').length;
const calm = events.find((e) => e.event === 'calm')?.t ?? Infinity;
const settled = events.find((e) => e.event === 'settled');

// --- the calls, from the ledger ------------------------------------------

/** One entry a call: { job, t0, t1, outcome, ... }. */
function callsOf(lines) {
  const calls = [];
  const open = new Map();
  for (const line of lines) {
    if (line.event === 'begin') {
      const call = { ...line, t0: line.t_ms, t1: Infinity, outcome: 'unknown' };
      calls.push(call);
      open.set(line.call, call);
    } else {
      const call = open.get(line.call);
      open.delete(line.call);
      if (call && call.job === line.job) {
        Object.assign(call, line, { t0: call.t0, t1: line.t_ms });
      } else calls.push({ ...line, t0: line.t_ms, t1: line.t_ms });
    }
  }
  return calls;
}
const calls = callsOf(ledger);
const callsByJob = group(calls, (call) => call.job);
const allowsRetry = (call) => !['ok', 'client_gone', 'stopped', 'unknown', '400',
  '404', '413'].includes(call.outcome);

// --- what is charged to faults -------------------------------------------

// A call whose answer was given to its worker needs no other call once it is
// committed. That takes half a second at most, unless the store takes nothing:
// a full disk, somebody else with its lock, also a frozen worker. Answers wait
// in their worker then, 5 s until they are parked.
const COMMIT_MS = 500;
const BLOCKED_MS = 9000;
const blocked = events.filter((e) => (e.event === 'fault_over'
  && (['full_disk', 'busy_store'].includes(e.kind)
    || (e.kind === 'freeze' && /^worker/.test(e.who))))
  || e.event === 'stopped_at');
const isBlocked = (t) => blocked.some((e) => e.began - 500 < t
  && t < e.t + 2500);

/** When a reader first saw the end of a job that had one generation only. */
const endSeen = new Map();
for (const l of client) {
  if (l.event === 'seen' && TERMINAL.has(l.state) && !endSeen.has(l.id)
    && rowsOf.get(l.id)?.length === 1) endSeen.set(l.id, l.t);
}

// What was handed to the kernel while no packet passed arrives, by TCP's
// retransmission, up to as much later again.
const partitions = events.filter((e) => e.event === 'fault_over'
  && e.kind === 'partition').map((e) => ({ ...e, healed: e.t + e.ms + 1000 }));
const arrivedAt = (worker, t) => partitions.reduce((at, e) =>
  (e.who === worker && at >= e.began - 100 && at < e.healed ? e.healed : at), t);

/** The requests that passed the proxy: { job, life, t, safe }; from `safe` on
 * no death of its worker makes the outcome unknown. */
const answeredAt = new Map(proxy.filter((l) => l.event === 'answered')
  .map((l) => [l.request, l.t]));
const requests = proxy.filter((l) => l.event === 'request').map((l) => {
  const worker = l.link.split('-')[0];
  const answered = arrivedAt(worker, answeredAt.get(l.request) ?? Infinity);
  return { ...l, worker, answered,
    safe: Math.min(endSeen.get(l.job) ?? Infinity,
      answered + (isBlocked(answered) ? BLOCKED_MS : COMMIT_MS)) };
});
const requestsOf = group(requests, (l) => l.job);

/**
 * The events by which a worker's calls may become unknown, each with the test
 * whether a request did: it began before the event, and that it was over by
 * then cannot be shown.
 *
 * A life that ended: all it had sent and not safely received. Whose request it
 * is, is told by its key: no clock is compared for what was on its way.
 * A freeze or a loss of Redis that may cost the lease: what was open when it
 * began, what was sent while it lasted, and what was sent at once on waking up,
 * between the check and the send. Shorter ones cost no lease.
 */
function interruptions() {
  const isWorker = (name) => /^worker/.test(name ?? '');
  const list = [];
  const add = (became) => list.push(Object.assign(became, { lapse: true }));
  const lapse = (worker, from, to, thaw) => add((r) => r.worker === worker
    && ((r.t <= to + 100 && r.safe >= from)
      || (thaw !== undefined && r.t >= thaw - 50 && r.t <= thaw + 250)));
  for (const e of events) {
    if (e.event === 'exited' && isWorker(e.name)) {
      const clean = e.code === 0;
      list.push((r) => r.life === e.life
        && (clean ? r.answered === Infinity : r.safe >= e.t));
    }
    // The job whose turn it was stood at a known place, where its ownership was
    // to be looked at again: it must not be sent later. Others may have been on
    // their way out, like in any freeze.
    if (e.event === 'stopped_at' && isWorker(e.name)) {
      lapse(e.name, e.began, e.began, e.job ? undefined : e.t);
      if (e.job) {
        add((r) => r.worker === e.name && r.job !== e.job
          && r.t >= e.t - 50 && r.t <= e.t + 250);
      }
    }
    if (e.event !== 'fault_over' || !(e.ms > LEASE_MS
      / (e.kind === 'partition' ? 4 : 2))) continue;
    if (e.kind === 'freeze' && isWorker(e.who)) {
      lapse(e.who, e.began, e.began, e.t);
    }
    if (e.kind === 'partition') {
      lapse(e.who, e.began, e.t + e.ms + 1000);
    }
    if (e.kind === 'hold' && /^worker.*-redis$/.test(e.link)) {
      lapse(e.link.split('-')[0], e.began, e.t);
    }
  }
  return list;
}
const broke = interruptions();
const lapses = broke.filter((became) => became.lapse);
const cuts = group(proxy.filter((l) => (l.event === 'cut'
  || l.event === 'reply_cut') && l.job), (l) => l.job);
const claudeDeaths = events.filter((e) => e.event === 'kill'
  && e.name === 'claude').map((e) => e.t);

/** How many calls of a job became unknown through injected faults. */
function chargesOf(id) {
  const sent = requestsOf.get(id) ?? [];
  return (cuts.get(id) ?? []).length
    + broke.filter((became) => sent.some(became)).length
    + claudeDeaths.filter((t) => sent.some((r) => r.t <= t + 50
      && r.answered >= t - 50)).length;
}

// --- 1: what was accepted has ended --------------------------------------

claim(1, 'accepted jobs without a terminal row', accepted.filter(({ id }) =>
  !erased.has(id) && !(rowsOf.get(id) ?? []).some((row) => TERMINAL.has(row.state)))
  .map(({ id }) => id));
claim(1, 'jobs that were not terminal within the time after the faults',
  accepted.filter(({ id }) => !erased.has(id) && !client.some((l) => l.event === 'seen'
    && l.id === id && TERMINAL.has(l.state) && l.t <= settled.t))
    .map(({ id }) => id));

// A deadline is Redis's to tell; one that is half an hour away is over when
// its clock was put forward, and never by anybody else's clock.
const jumped = events.some((e) => e.event === 'fault' && e.kind === 'clock'
  && e.who === 'redis');
claim(1, 'jobs that expired before their time', rows.filter((row) => {
  if (row.state !== 'expired' || row.deleted) return false;
  const body = bodies.get(JSON.parse(row.meta).h);
  return !/"expires_in":[12]}/.test(body?.options ?? '')
    && !(jumped && /1800/.test(body?.options ?? ''));
}).map((row) => row.id));

const batches = client.filter((l) => l.event === 'batch');
const batchEnds = new Map(client.filter((l) => l.event === 'batch_ended')
  .map((l) => [l.id, l]));
claim(1, 'batches that did not end whole', batches.filter((b) => {
  const end = batchEnds.get(b.id);
  return !end || b.accepted !== b.size || b.rejected !== 1
    || new Set(end.items.map(([name]) => name)).size !== b.size
    || new Set(end.items.map(([, job]) => job)).size !== b.size
    || Object.values(end.counts).reduce((sum, n) => sum + n, 0) !== b.size;
}).map((b) => `${b.id} ${JSON.stringify(batchEnds.get(b.id)?.counts)}`));
claim(4, 'keys with more than one batch', [...group(client.filter((l) =>
  l.event === 'upload' && l.status === 202), (l) => l.key).entries()]
  .filter(([, list]) => new Set(list.map((l) => l.id)).size > 1)
  .map(([key]) => key));

// --- 2: one row a generation, never changed --------------------------------

claim(2, 'generations with more than one row', [...group(rows, (row) =>
  `${row.id}/${row.generation}`).entries()].filter(([, list]) => list.length > 1)
  .map(([key]) => key));
const terminalSeen = client.filter((l) => l.event === 'seen' && l.status === 200
  && TERMINAL.has(l.state));
const changed = [];
for (const [key, list] of group(terminalSeen, (l) => `${l.id}/${l.generation}`)) {
  const forms = new Set(list.map((l) => `${l.state} v${l.version} ${l.finished}`));
  if (forms.size > 1) changed.push(`${key}: ${[...forms].join(' | ')}`);
}
claim(2, 'terminal states that changed under a reader', changed);
claim(2, 'terminal states that went back', [...group(client.filter((l) =>
  l.event === 'seen' && l.status === 200), (l) => l.id).entries()]
  .filter(([, list]) => {
    let ended = null;
    // Answers may overtake each other; only later questions count.
    for (const l of [...list].sort((a, b) => a.began - b.began)) {
      if (ended && l.began > ended.t && l.generation === ended.generation
        && l.state !== ended.state) return true;
      if (TERMINAL.has(l.state)) ended = l;
    }
    return false;
  }).map(([id]) => id));
claim(2, 'rows that differ from what a reader saw', terminalSeen.filter((l) => {
  if (erased.has(l.id)) return false;
  const row = (rowsOf.get(l.id) ?? []).find((r) => r.generation === l.generation);
  return !row || row.state !== l.state || row.version !== l.version
    || Math.abs(Date.parse(l.finished) - row.finished_ms) > 0;
}).map((l) => `${l.id}/${l.generation} ${l.state} v${l.version}`));
claim(2, 'results that changed', [...group(client.filter((l) => l.event === 'result'
  && l.sha), (l) => `${l.id}/${l.generation}`).entries()]
  .filter(([, list]) => new Set(list.map((l) => l.sha)).size > 1)
  .map(([key]) => key));

// --- 3: calls ----------------------------------------------------------------

/**
 * Each further call is shown in its job as one whose outcome nobody knows. Only
 * this cannot be: a worker that lost its lease without dying saves its answer
 * when it goes on, and that row never changes again; what others have called for
 * by then, or it sends on waking up, is not in it.
 */
function behindItsBack(id, list) {
  const sent = requestsOf.get(id) ?? [];
  const first = list.find((call) => call.outcome === 'ok');
  return first && lapses.some((became) => sent.some(became))
    ? list.filter((call) => call !== first && call.t0 >= first.t0).length : 0;
}

let extraCalls = 0;
let chargedCalls = 0;
const tooMany = [];
const uncounted = [];
for (const [id, list] of callsByJob) {
  const generations = Math.max(1, (rowsOf.get(id) ?? []).length);
  const extra = list.length - list.filter(allowsRetry).length - generations;
  const charges = chargesOf(id);
  chargedCalls += charges;
  if (extra > 0) extraCalls += extra;
  const counted = (rowsOf.get(id) ?? []).reduce((sum, row) =>
    sum + row.unknown_calls, 0) + behindItsBack(id, list);
  if (extra > counted && !erased.has(id)) {
    uncounted.push({ id, extra, counted, outcomes: list.map((c) => c.outcome)
      .join(' ') });
  }
  if (extra > charges) {
    tooMany.push({ id, calls: list.length, outcomes: list.map((c) => c.outcome)
      .join(' '), generations, charges });
  }
}
claim(3, 'jobs called more often than their answers and faults allow', tooMany);
claim(7, 'further calls that the job does not show as unknown', uncounted);
claim(3, 'calls for nobody\'s job', calls.filter((c) => !c.job).map((c) => c.call));

// --- 4: idempotency -------------------------------------------------------------

const submits = client.filter((l) => l.event === 'submit');
claim(4, 'keys with more than one job', [...group(submits.filter((l) => l.key
  && l.status === 202), (l) => l.key).entries()].filter(([, list]) =>
  new Set(list.map((l) => l.id)).size > 1).map(([key]) => key));
const numberOf = (row) => bodies.get(JSON.parse(row.meta).h)?.n;
const kept = [...rowsOf.values()].map((list) => list[0])
  .filter((row) => !row.deleted);
claim(4, 'jobs that no client sent', kept.filter((row) =>
  numberOf(row) === undefined).map((row) => row.id));
const jobsByBody = group(kept, numberOf);
claim(4, 'bodies that became more than one job', [...jobsByBody.entries()]
  .filter(([, list]) => list.length > 1)
  .map(([n, list]) => `${n}: ${list.map((row) => row.id).join(' ')}`));
claim(4, 'ids answered for another body', accepted.filter(({ id, n }) =>
  rowsOf.has(id) && !erased.has(id) && numberOf(rowsOf.get(id)[0]) !== n).map(({ id }) => id));

// --- 5: dead letters ---------------------------------------------------------------

const deadInRedis = new Map();
const flat = redis('HGETALL', `${P}deadidx`).split('\n');
for (let i = 0; i + 1 < flat.length; i += 2) {
  deadInRedis.set(flat[i], Number(flat[i + 1].split(' ')[1]));
}
const newest = [...rowsOf.values()].map((list) => list[list.length - 1]);
claim(5, 'failed jobs that are no dead letters', newest.filter((row) =>
  row.state === 'failed' && row.dead === 1
  && deadInRedis.get(row.id) !== row.generation).map((row) => row.id));
claim(5, 'dead letters without a failed row', [...deadInRedis.entries()]
  .filter(([id, generation]) => !(rowsOf.get(id) ?? []).some((row) =>
    row.generation === generation && row.state === 'failed' && row.dead === 1))
  .map(([id, generation]) => `${id}/${generation}`));
claim(5, 'the stream of dead letters and its index disagree',
  Number(redis('XLEN', `${P}dead`)) === deadInRedis.size ? []
    : [`${redis('XLEN', `${P}dead`)} entries, ${deadInRedis.size} indexed`]);
const withRequest = new Set(sql('SELECT j.id FROM job j JOIN content c ON '
  + 'c.row = j.row WHERE j.dead = 1 AND c.request IS NOT NULL')
  .map((row) => row.id));
claim(5, 'dead letters whose request is not in the store', newest.filter((row) =>
  row.dead === 1 && !withRequest.has(row.id)).map((row) => row.id));
const replays = group(client.filter((l) => l.event === 'replay'), (l) => l.id);
claim(5, 'generations that are not one after another', [...rowsOf.entries()]
  .filter(([, list]) => list.some((row, i) => row.generation !== i))
  .map(([id, list]) => `${id}: ${list.map((row) => row.generation)}`));
claim(5, 'generations that nobody asked for', [...rowsOf.entries()]
  .filter(([id, list]) => list.length - 1 > (replays.get(id) ?? []).length
    + operations)
  .map(([id]) => id));
claim(5, 'accepted replays without their generation', [...replays.entries()]
  .filter(([id, list]) => list.some((l) => l.status === 202
    && !(rowsOf.get(id) ?? []).some((row) => row.generation === l.generation)))
  .map(([id]) => id));
claim(5, 'double clicks that made two generations', [...replays.entries()]
  .filter(([id, list]) => (rowsOf.get(id) ?? []).length - 1
    > new Set(list.map((l) => l.of)).size + operations).map(([id]) => id));

// --- 6: nothing is left over -------------------------------------------------------

claim(6, 'the database is damaged', sql('PRAGMA integrity_check')
  .filter((row) => row.integrity_check !== 'ok'));
const keys = redis('--scan', '--pattern', `${P}*`).split('\n').filter(Boolean);
// What a submitter that died had staged is nobody's job; it goes in an hour.
const staged = new Set(redis('ZRANGE', `${P}staging`, '0', '-1').split('\n'));
// So do uploads that nobody went on with.
const uploads = redis('ZRANGE', `${P}batches:staging`, '0', '-1').split('\n')
  .filter(Boolean);
const uploaded = new Set(uploads.flatMap((uuid) => redis('LRANGE',
  `${P}batch:${uuid}:ids`, '0', '-1').split('\n').map((line) => line.split(' ')[0])));
claim(6, 'keys of jobs that have ended', keys.filter((key) => {
  const [, kind, id] = /^lh:\{0\}:(job|body|parked|abort):(.*)$/.exec(key) ?? [];
  return kind && !(kind === 'body' && staged.has(id) && !rowsOf.has(id))
    && !uploaded.has(id);
}));
for (const set of ['ids', 'due', 'retry', 'staging']) {
  // Stagings of a submitter that died are swept after an hour.
  const left = redis('ZRANGE', `${P}${set}`, '0', '-1').split('\n').filter(Boolean);
  claim(6, `entries in ${set}`, set === 'staging'
    ? left.filter((id) => rowsOf.has(id)) : left);
}
const streams = keys.filter((key) => key.startsWith(`${P}q:`));
claim(6, 'streams that are not empty', streams.filter((key) =>
  redis('XLEN', key) !== '0').map((key) => `${key} ${redis('XLEN', key)}`));
claim(6, 'pending entries', streams.filter((key) => {
  const pending = redis('XPENDING', key, 'w').split('\n')[0];
  return /^[1-9]/.test(pending);
}));
claim(6, 'bytes counted for no job', uploads.length > 0
  || ['0', ''].includes(redis('GET', `${P}bytes`)) ? [] : [redis('GET', `${P}bytes`)]);
// Every key is of a kind that may be there when nothing is in flight.
const MAY_STAY = new RegExp('^(install|queues|bytes|replayed|fence|epoch|swept|beat'
  + '|turn|pools|quotas|dead|deadidx|deadgroup|op|unpromoted|tomb:\\d+'
  + '|(q|seq|head|idle|idem|bidem|bsha|quota|oplock|probe):.+)$');
const checkedAbove = /^(job|body|parked|abort|staging|ids|due|retry)(:|$)/;
claim(6, 'keys that nobody needs any more', keys.map((key) => key.slice(P.length))
  .filter((key) => !MAY_STAY.test(key) && !checkedAbove.test(key)
    && !(uploads.length > 0 && key === 'batches:staging')
    && !uploads.some((uuid) => key.startsWith(`batch:${uuid}`))));
claim(6, 'tombstones of more than three days', keys.filter((key) =>
  key.startsWith(`${P}tomb:`)).slice(3));
claim(6, 'items counted in no batch', uploads.length > 0
  || ['0', ''].includes(redis('GET', `${P}unpromoted`)) ? [] : [redis('GET', `${P}unpromoted`)]);
claim(6, 'idempotency records that stay for ever', redis('EVAL',
  'local left = {} for _, key in ipairs(redis.call("KEYS", ARGV[1] .. "*")) do '
  + 'local kind = string.match(string.sub(key, #ARGV[1] + 1), "^(%a+):") '
  + 'if (kind == "idem" or kind == "bidem" or kind == "bsha") and redis.call("TTL", key) < 0 then '
  + 'left[#left + 1] = key end end return left', '0', P).split('\n')
  .filter(Boolean));
const ends = events.filter((e) => e.event === 'resources');
const living = redis('HKEYS', `${P}beat`).split('\n').filter(Boolean);
const workersUp = ends.filter((e) => /^worker/.test(e.name)).length;
claim(6, 'heartbeats of workers that are gone', living.length > workersUp
  ? living : []);
claim(6, 'consumers without a heartbeat', [...new Set(streams.flatMap((key) =>
  redis('XINFO', 'CONSUMERS', key, 'w').split('\n')
    .filter((word, i, all) => all[i - 1] === 'name')))]
  .filter((name) => !living.includes(name)));
claim(6, 'answers without a row, or rows without their answer', sql('SELECT row '
  + 'AS content, NULL AS id FROM content WHERE row NOT IN (SELECT row FROM job) '
  + 'UNION ALL SELECT NULL, id FROM job WHERE state = \'succeeded\' AND deleted = 0 '
  + 'AND row NOT IN (SELECT row FROM content WHERE answer IS NOT NULL)'));
claim(6, 'files beside the store', readdirSync(dirname(database)).filter((name) =>
  name.startsWith(basename(database))
  && !['', '-wal', '-shm', '.lock'].includes(name.slice(basename(database).length))));

// Connections to Claude are kept for the next calls, as many as there may be
// calls. Everything else is what it was when the program was ready, but for the
// connections to Redis and the files of the store that come a moment later.
const startOf = group(events.filter((e) => e.event === 'started'), (e) => e.pid);
const MEMORY_MB = Number(process.env.LONGHAUL_CHAOS_MEMORY_MB ?? 32);
for (const end of ends) {
  const [start] = startOf.get(end.pid) ?? [];
  claim(6, `descriptors of ${end.name} over the base line`, start
    && (end.fds - end.upstream - start.fds > 16 || end.upstream > 34)
    ? [`${start.fds} -> ${end.fds}, ${end.upstream} of them to Claude`] : []);
  claim(6, `memory of ${end.name} over the base line`,
    start && end.rss_kb - start.rss_kb > MEMORY_MB * 1024
      ? [`${start.rss_kb} -> ${end.rss_kb} kB`] : []);
}

// --- 7: usage and cost --------------------------------------------------------------

const catalog = JSON.parse(readFileSync(join(
  dirname(fileURLToPath(import.meta.url)), '../../schema/models.json'), 'utf8'));
const modelOf = new Map(catalog.models.flatMap((m) => [m.id, ...(m.aliases ?? [])]
  .map((name) => [name, m])));
/** What a call costs, in 1e-9 USD; -1: nobody knows. */
function priceOf(name, call) {
  const tiers = modelOf.get(name)?.prices;
  if (!tiers) return -1;
  const write5m = call.cache_write - call.cache_write_1h;
  const prompt = call.input_tokens + call.cache_read + call.cache_write;
  const price = tiers.find((tier) => tier.up_to_prompt_tokens === null
    || prompt <= tier.up_to_prompt_tokens);
  // USD per million tokens: a thousandth of that is 1e-9 USD per token.
  const sum = [[call.input_tokens, price.input], [call.output_tokens,
    price.output], [call.cache_read, price.cache_read],
  [write5m, price.cache_write_5m], [call.cache_write_1h, price.cache_write_1h]]
    .reduce((total, [tokens, usd]) => total + BigInt(tokens)
      * BigInt(Math.round(usd * 1e6)), 0n);
  return Number((sum + 500n) / 1000n);
}
/** The answered calls from which a row may have come. */
const sourcesOf = (row) => (callsByJob.get(row.id) ?? []).filter((c) =>
  c.outcome === 'ok' && c.model === row.model
  && c.input_tokens === row.input_tokens && c.output_tokens === row.output_tokens
  && c.cache_read === row.cache_read_tokens
  && c.cache_write_1h === row.cache_write_1h_tokens
  && c.cache_write - c.cache_write_1h === row.cache_write_5m_tokens);
const answeredRows = rows.filter((row) => row.state === 'succeeded');
claim(7, 'usage that no answered call had', answeredRows.filter((row) =>
  sourcesOf(row).length === 0).map((row) => row.id));
claim(7, 'costs that are not the price of the usage', answeredRows.filter((row) =>
  sourcesOf(row).some((c) => priceOf(row.model, c) !== row.cost_usd_nanos))
  .map((row) => `${row.id} ${row.model} ${row.cost_usd_nanos}`));
claim(7, 'usage of jobs without an answer', rows.filter((row) =>
  row.state !== 'succeeded' && (row.input_tokens || row.output_tokens
    || row.cache_read_tokens || row.cache_write_5m_tokens
    || row.cache_write_1h_tokens || row.cost_usd_nanos > 0))
  .map((row) => row.id));
// A connection that was accepted and reset may have carried the request; as the
// probe of a breaker, up to three times a second, it is nobody's attempt.
const probes = events.filter((e) => e.event === 'fault_over' && e.kind === 'refuse')
  .reduce((sum, e) => sum + Math.ceil(e.ms / 333), 0);
claim(7, 'more unknown calls than attempts and faults', rows.filter((row) =>
  row.unknown_calls > row.attempts + broke.length + probes).map((row) => row.id));

// --- 8: bytes and deadlines ------------------------------------------------------------

claim(8, 'requests that reached Claude changed', calls.filter((c) => {
  const row = (rowsOf.get(c.job) ?? [])[0];
  const body = row && bodies.get(JSON.parse(row.meta).h);
  return body && c.sha256 && body.upstream_sha !== c.sha256;
}).map((c) => c.job));
claim(8, 'calls whose request was not looked at', calls.filter((c) => !c.sha256)
  .map((c) => `call ${c.call}`));
// An answer that came as one document is kept byte for byte; of one that came
// as a stream, what it says.
const results = group(client.filter((l) => l.event === 'result'
  && l.status === 200 && l.state === 'succeeded'), (l) => l.id);
claim(8, 'results that are not what Claude sent', [...results.values()].flat()
  .filter((l) => !(callsByJob.get(l.id) ?? []).some((c) => c.outcome === 'ok'
    && (c.stream ? c.text_sha256 === l.text : c.answer_sha256 === l.sha)))
  .map((l) => `${l.id}/${l.generation}`));
claim(8, 'results that nobody could read', accepted.filter(({ id }) =>
  !erased.has(id) && rowsOf.get(id)?.at(-1).state === 'succeeded'
  && !results.has(id)).map(({ id }) => id));
claim(8, '503 and 429 without Retry-After', client.filter((l) =>
  [503, 429].includes(l.status) && !/^\d+$/.test(l.retry_after ?? ''))
  .map((l) => `${l.event} ${l.status}`));
const touched = (server, from, to) => events.some((e) =>
  (e.event === 'fault_over' && (e.who === server || e.link?.startsWith(server)
    || ['descriptors', 'full_disk', 'busy_store'].includes(e.kind))
    && e.began <= to && e.t + 1000 >= from)
  || (e.name === server && ['kill', 'exited', 'term'].includes(e.event)
    && e.t >= from - 1000 && e.t <= to + 1000));
const asked = client.filter((l) => l.began !== undefined && l.server);
claim(8, 'requests without an answer, with nothing in their way', asked.filter(
  (l) => l.status === 0 && !touched(l.server, l.began, l.began + l.ms))
  .map((l) => `${l.event} ${l.server} ${l.error} after ${l.ms} ms`));
claim(8, 'answers past their deadline', asked.filter((l) => l.status !== 0
  && l.ms > DEADLINE_MS + (l.wait ? 2000 : 0)
  && !touched(l.server, l.began, l.began + l.ms))
  .map((l) => `${l.event} ${l.status} ${l.ms} ms`));
claim(8, 'answers that nothing explains', asked.filter((l) => l.status >= 500
  && l.status !== 503).map((l) => `${l.event} ${l.status} ${l.id ?? l.n}`));

// --- what there was ---------------------------------------------------------------------

const faults = group(events.filter((e) => e.event === 'fault_over'), (e) => e.kind);
const states = group(rows, (row) => row.state);
const ended = accepted.map(({ id }) => Math.min(...client.filter((l) =>
  l.id === id && l.event === 'seen' && TERMINAL.has(l.state)).map((l) => l.t)));
const lastMs = Math.max(0, ...ended.filter((t) => t < Infinity)) - calm;
console.log(`# ${accepted.length} accepted, ${batches.length} batches, ${rows.length} rows (${[...states]
  .map(([state, list]) => `${list.length} ${state}`).join(', ')}), ${calls.length}`
  + ` calls, ${extraCalls} extra of ${chargedCalls} charged, ${submits.length} `
  + `submits, ${events.filter((e) => e.event === 'fault_over').length} faults`);
console.log(`# faults: ${[...faults].map(([kind, list]) => `${kind} ${list.length}`)
  .join(', ')}; last end ${lastMs} ms after the calm`);
if (broken.length === 0) console.log('# every promise holds');
process.exit(broken.length === 0 ? 0 : 1);
