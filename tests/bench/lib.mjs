// What the figures share: the installation under test, the load programs,
// CPU and memory of processes, medians.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { bin, root, sleep, startFakeClaude, startProcess, startRedis, tmpdir,
  until } from '../scenario/lib/index.mjs';
import { redisClient } from '../scenario/lib/redis-client.mjs';

// On disk, also where /tmp is memory; and short enough for a socket's name.
process.env.TMPDIR = process.env.BENCH_TMPDIR ?? '/var/tmp';

export const runs = Number(process.env.RUNS ?? 3);
export const scale = Number(process.env.SCALE ?? 1);
/** A size, shrunk for a smoke test. */
export const size = (n) => Math.max(10, Math.round(n * scale));
export const prefix = 'lh:{0}:';

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]
    : (sorted[middle - 1] + sorted[middle]) / 2;
}

export async function repeat(measure) {
  const results = [];
  for (let i = 0; i < runs; i++) results.push(await measure(i));
  return results;
}

/** The median of one member over the runs. */
export const medianOf = (results, pick) => median(results.map(pick));

export const percent = (share) => `${(share * 100).toFixed(0)} %`;
export const perSecond = (rate) => `${Math.round(rate)}/s`;
export const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
export const ms = (value) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;

/* --- programs ----------------------------------------------------------- */

const bench = (name) =>
  resolve(root, process.env.BUILD || 'build', 'bench', name);

/** Runs a program to its end; what it printed. */
export function run(command, args) {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (data) => { text += data; });
    child.on('error', fail);
    child.on('close', (code) => (code === 0 ? done(text)
      : fail(new Error(`${command} ended with ${code}: ${text}`))));
  });
}

/** Runs a load program; its JSON. */
export async function measure(name, ...args) {
  const result = JSON.parse(await run(bench(name), args.map(String)));
  if (result.failed > 0) {
    throw new Error(`${name} ${args}: ${JSON.stringify(result)}`);
  }
  return result;
}

/** A load program that says ready and runs beside others; stop() ends it and
 * result() is its JSON. */
export async function startLoad(...args) {
  const program = await startProcess(bench('load'),
    { args: args.map(String), waitFor: /ready\n/, timeoutMs: 60_000 });
  return Object.assign(program, {
    result: async () => {
      await program.exited;
      return JSON.parse(program.stdout().split('ready\n')[1]);
    },
    finish: async () => {
      program.signal('SIGTERM');
      return program.result();
    },
  });
}

/** One of ours, with settings from its environment; url, and to for load. Its
 * log goes to a file: to read a line a job costs this process 5 us. */
export async function startProgram(name, env) {
  const program = await startProcess(bin(name), { env,
    errFile: join(tmpdir('lh-log-'), 'log'),
    waitFor: /ready (http:\/\/(\S+))/ });
  return Object.assign(program,
    { url: program.match[1], to: program.match[2] });
}

/**
 * Redis and the programs named, each in a fresh directory. Redis is set up as
 * `longhaul up` does it, but does not rewrite its append-only file while
 * something is measured.
 */
export async function startInstallation({ submitter = false, status = false,
  worker = false, upstream = false, env = {} } = {}) {
  const redis = await startRedis({ dir: tmpdir('lh-redis-'),
    args: ['--auto-aof-rewrite-percentage', '0', '--stream-node-max-entries',
      '10', '--hash-max-listpack-value', '4096', '--latency-tracking', 'no'] });
  const claude = upstream
    ? await startFakeClaude({ args: ['--fast'], witness: false }) : null;
  const settings = {
    LONGHAUL_REDIS_URL: redis.url,
    LONGHAUL_STORE_URL: `sqlite:${join(tmpdir('lh-store-'), 'jobs.db')}`,
    LONGHAUL_SUBMITTER_LISTEN: '127.0.0.1:0',
    LONGHAUL_STATUS_LISTEN: '127.0.0.1:0',
    LONGHAUL_SIMULATED: 'true',
    ...(claude ? { ANTHROPIC_BASE_URL: claude.url } : {}),
    ...env,
  };
  const all = { redis, claude, settings, db: connect(redis.socket) };
  all.startWorker = () => startProgram('longhaul-worker', settings);
  await markInstallation(all);
  if (submitter) all.submitter = await startProgram('longhaul-submitter', settings);
  if (status) all.status = await startProgram('longhaul-status', settings);
  if (worker) all.worker = await all.startWorker();
  for (const server of [all.submitter, all.status].filter(Boolean)) {
    await until(async () => (await fetch(`${server.url}/readyz`)).ok,
      { what: `${server.name} to be ready` });
  }
  all.ours = () => [all.submitter, all.status, all.worker].filter(Boolean);
  all.stop = async () => {
    all.db.close();
    for (const one of [...all.ours(), claude, redis]) await one?.stop();
  };
  return all;
}

/** The first worker of an installation marks its Redis and its store. */
async function markInstallation(all) {
  const first = await startProgram('longhaul-worker', { ...all.settings,
    ANTHROPIC_BASE_URL: 'http://127.0.0.1:9' });
  await until(() => all.db.ask('EXISTS', `${prefix}install`),
    { what: 'the installation marker' });
  await first.stop();
}

/** Until no more than so many jobs are in flight: the rows of the others are
 * committed. */
export function leftInFlight(all, most, timeoutMs = 300_000) {
  return until(async () => await all.db.ask('ZCARD', `${prefix}ids`) <= most,
    { timeoutMs, everyMs: 10, what: `an end of all but ${most} jobs` });
}

export const drained = (all) => leftInFlight(all, 0);

/* --- Redis ---------------------------------------------------------------- */

/** A connection whose answers are texts and numbers. */
function connect(socket) {
  const client = redisClient(socket);
  const plain = (value) => (Array.isArray(value) ? value.map(plain)
    : Buffer.isBuffer(value) ? value.toString() : value);
  return { ask: async (...words) => plain(await client.command(...words)),
    close: client.close };
}

/** Empties Redis under the feet of the programs, which keep their marker. */
export async function clearRedis(db) {
  const marker = await db.ask('GET', `${prefix}install`);
  await db.ask('MULTI');
  await db.ask('FLUSHALL');
  await db.ask('SET', `${prefix}install`, marker);
  await db.ask('EXEC');
}

/** The SHA-1 under which the programs call a script. */
export function scriptSha1(name) {
  const text = readFileSync(join(root, `schema/redis/${name}.lua`), 'utf8');
  const mark = '-- uses: prelude\n';
  const cut = text.indexOf('\n') + 1;
  const prelude = text.startsWith(mark, cut)
    ? readFileSync(join(root, 'schema/redis/_prelude.lua'), 'utf8') : '';
  return createHash('sha1').update(text.slice(0, cut) + prelude +
    text.slice(cut)).digest('hex');
}

/** redis-benchmark, one command at a time on each of 64 connections. */
export async function redisBenchmark(redis, requests, words) {
  const text = await run('redis-benchmark', ['-s', redis.socket, '-c', '64',
    '-n', String(requests), '-r', '2000000000', '--csv', ...words]);
  const row = /,"([\d.]+)"(?:,"[\d.]+"){6}\s*$/.exec(text);
  if (!row) throw new Error(`redis-benchmark: ${text}`);
  return Number(row[1]);
}

/* --- requests --------------------------------------------------------------- */

const words = ['invoice', 'deadline', 'the', 'customer', 'writes', 'that',
  'export', 'of', 'last', 'month', 'stops', 'after', 'page', 'auditors', 'on',
  'Friday', 'refund', 'please', 'summarise', 'in', 'three', 'sentences', 'and'];

/** A Messages request of about `bytes` bytes, in words that repeat no more
 * than text does. */
export function makeBody(bytes, model) {
  const text = [];
  let state = 12345;
  for (let length = 0; length < bytes - 120;) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const word = state % 7 === 0 ? String(state) : words[(state >>> 8) % words.length];
    text.push(word);
    length += word.length + 1;
  }
  return JSON.stringify({ ...(model ? { model } : {}), max_tokens: 256,
    messages: [{ role: 'user', content: text.join(' ') }] });
}

export function bodyFile(bytes, model) {
  const path = join(tmpdir('lh-body-'), 'body.json');
  writeFileSync(path, makeBody(bytes, model));
  return path;
}

/* --- CPU and memory ----------------------------------------------------------- */

/** CPU time of a process so far, in ms. */
export function cpuMs(pid) {
  let ns = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    ns += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8')
      .split(' ')[0]);
  }
  return ns / 1e6;
}

export const cpuOf = (programs) =>
  programs.reduce((sum, program) => sum + cpuMs(program.pid), 0);

function statusBytes(pid, field) {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(text)[1]) * 1024;
}

export const residentBytes = (pid) => statusBytes(pid, 'VmRSS');
export const peakBytes = (pid) => statusBytes(pid, 'VmHWM');
/** The peak counts from now. */
export const resetPeak = (pid) => writeFileSync(`/proc/${pid}/clear_refs`, '5');

export { sleep, tmpdir, until };
