// fresh.mjs PROGRAM LIMIT: the first start with an empty data directory, of a
// worker (which makes the store and the marker) or of Redis, again and again;
// each time another of its system calls fails. What ends is started once more.
// Then everything must be ready, the store sound, its marker that of Redis, and
// a job must end after one call.

import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { bin, sleep, startFakeClaude, startProcess, startRedis, stopAll, tmpdir,
  until } from '../scenario/lib/index.mjs';
import { redisDo } from '../scenario/lib/faults.mjs';
import { chosen, Fault, KINDS } from './fault.mjs';

const P = 'lh:{0}:';
const [who, limit] = [process.argv[2], Number(process.argv[3])];
const fault = new Fault(tmpdir('longhaul-fresh-'));
const claude = await startFakeClaude({});
let ends = 0;

/** Started under the fault, once more when it does not come up. */
async function insist(start) {
  for (let i = 0; i < 4; i++) {
    try { return await start(); } catch { ends++; }
  }
  throw new Error(`${who} does not start any more`);
}

/** What keeps it up elsewhere, until `run.over`. */
async function keep(run, start) {
  const program = await insist(start);
  program.exited.then(() => {
    if (run.over) return undefined;
    ends++;
    return keep(run, start);
  }).catch(() => {});
  return program;
}

async function begin(dir, run) {
  const { programs } = run;
  const faults = (name) => (who === name ? fault.env : {});
  // The socket of a Redis that died stays, and is taken over.
  const redis = await keep(run, async () => {
    const program = await startRedis({ dir, env: faults('redis') });
    programs.push(program);
    return program;
  });
  const env = { LONGHAUL_REDIS_URL: redis.url, ANTHROPIC_API_KEY: 'sk-ant-x',
    LONGHAUL_STORE_URL: `sqlite:${join(dir, 'store', 'results.db')}`,
    LONGHAUL_WORKER_LISTEN: '127.0.0.1:0', LONGHAUL_SUBMITTER_LISTEN: '127.0.0.1:0',
    LONGHAUL_STATUS_LISTEN: '127.0.0.1:0', ANTHROPIC_BASE_URL: claude.url,
    LONGHAUL_JOB_HEADER: 'x-longhaul-job' };
  const start = async (name, more = {}) => {
    const program = await startProcess(bin(name), { cwd: dir,
      env: { ...env, ...more }, waitFor: /^ready (http:\S+)$/m });
    programs.push(program);
    return Object.assign(program, { url: program.match[1] });
  };
  const ready = (program) => until(async () => (await fetch(`${program.url}/readyz`)
    .catch(() => ({}))).status === 200, { what: `${program.name} ready` });
  const worker = await keep(run, async () => {
    const program = await start('longhaul-worker', faults('worker'));
    // It may also end while it sets up the store behind that line.
    await Promise.race([ready(program), program.exited.then(({ code }) => {
      throw new Error(`it ended with ${code}`);
    })]);
    return program;
  });
  const alone = [worker, await start('longhaul-submitter'),
    await start('longhaul-status')];
  for (const program of alone) await ready(program);
  return { redis, submitter: alone[1], status: alone[2] };
}

async function oneJob({ submitter, status }) {
  const body = JSON.stringify({ model: 'mock-ok', max_tokens: 9,
    messages: [{ role: 'user', content: 'Hello.' }] });
  const id = await until(async () => {
    const answer = await fetch(`${submitter.url}/v1/jobs`, { method: 'POST', body,
      headers: { 'content-type': 'application/json', 'idempotency-key': 'one' } })
      .catch(() => ({}));
    return answer.status === 202 && (await answer.json()).id;
  }, { what: 'a 202' });
  await until(async () => (await (await fetch(`${status.url}/v1/jobs/${id}`)).json())
    .status === 'succeeded', { timeoutMs: 20_000, what: 'its end' });
  return claude.ends().filter((line) => line.job === id).length;
}

/** What is wrong afterwards, or null. */
async function look(dir, all) {
  const calls = await oneJob(all);
  const path = join(dir, 'store', 'results.db');
  const sql = (query) => execFileSync('sqlite3', ['-readonly', path, query],
    { encoding: 'utf8' }).trim();
  const marker = String(await until(() => redisDo(all.redis, 'GET', `${P}install`)
    .catch(() => null), { what: 'the marker' }));
  if (sql('PRAGMA integrity_check') !== 'ok') return 'the store is damaged';
  if (!sql('SELECT value FROM installation').includes(marker.split(' ')[0])) {
    return 'the markers differ';
  }
  // A worker that died with the answer in its hands called once more.
  return calls === 1 || (calls === 2 && ends > 0) ? null : `${calls} calls`;
}

async function point(kind, nth) {
  const dir = tmpdir('longhaul-fresh-');
  const run = { programs: [], over: false };
  execFileSync('mkdir', [join(dir, 'store')]);
  ends = 0;
  fault.arm(kind, nth);
  let wrong;
  try {
    wrong = await look(dir, await begin(dir, run));
  } catch (error) {
    wrong = String(error.message).split('\n')[0];
  }
  const { calls, failed } = fault.told;
  run.over = true;
  for (const program of run.programs) await program.kill();
  await sleep(1);
  rmSync(dir, { recursive: true, force: true });
  return { calls, failed, wrong, ends };
}

let bad = 0;
for (const kind of KINDS) {
  const { calls, wrong: before } = await point(kind, 0);
  let [points, ended] = [0, 0];
  const stuck = before ? [before] : [];
  for (const nth of chosen(calls, limit)) {
    const { failed, wrong, ends: times } = await point(kind, nth);
    points += failed ? 1 : 0;
    ended += times;
    if (wrong) stuck.push(`${kind[0]} ${nth}: ${wrong}`);
  }
  bad += stuck.length;
  console.log(`${`fresh ${who}`.padEnd(13)} ${kind[0].padEnd(8)} ${String(points)
    .padStart(5)} ${'-'.padStart(8)} ${String(ended).padStart(6)} ${
    String(stuck.length).padStart(6)}   of ${calls}`);
  for (const line of stuck) console.log(`# fresh ${who}: ${line}`);
}
fault.close();
await stopAll();
process.exit(bad === 0 ? 0 : 1);
