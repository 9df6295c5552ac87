// What goes wrong: a proxy before Redis that withholds bytes, a small disk, a
// wrong clock, a disk that fails; and what is watched meanwhile.

import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, readdirSync,
  readlinkSync, readSync,
  writeFileSync, writeSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { root, sleep, startProcess, tmpdir, until } from './process.mjs';
import { redisClient } from './redis-client.mjs';
import { startStack } from './stack.mjs';

export const P = 'lh:{0}:';

/** Runs one Redis command on a connection of its own. */
export async function redisDo(redis, ...words) {
  const client = redisClient(redis.socket);
  try {
    return await client.command(...words);
  } finally {
    client.close();
  }
}

/**
 * Asks /livez and /readyz of the programs all the time until stop(), which
 * asserts that each was answered, and within 500 ms; the target is 50, and
 * the machine of a test is shared.
 */
export function watchHealth(t, programs) {
  const worker = new Worker(new URL('./health.mjs', import.meta.url),
    { workerData: programs.map(({ url }) => url) });
  worker.unref();
  return { stop: async () => {
    const told = once(worker, 'message');
    worker.ref();
    worker.postMessage('stop');
    const [{ times, wrong }] = await told;
    await worker.terminate();
    const p99 = times[Math.floor(times.length * 0.99)];
    t.diagnostic(`health: ${times.length} answers, p99 ${p99.toFixed(1)} ms, `
      + `longest ${times.at(-1).toFixed(1)} ms`);
    assert.equal(wrong, null);
    assert.ok(times.length > 0);
    assert.ok(p99 < 500, `p99 of health is ${p99} ms`);
  } };
}

/**
 * A unix socket before Redis's: { url, target, set(mode), snare, caught }.
 * Modes: 'open'; 'mute' (connections are taken, nothing passes); 'closed'
 * (refused). A reply that holds the words of `snare` waits here, with all
 * that follows on that connection, until set('open').
 */
export function redisProxy() {
  const path = join(tmpdir('longhaul-proxy-'), 'redis.sock');
  const pairs = new Set();
  const proxy = { url: `unix://${path}`, target: null, mode: 'open',
    snare: null, caught: false };
  const snared = (data) => {
    if (proxy.snare === null || !data.includes(proxy.snare)) return false;
    proxy.snare = null;
    proxy.caught = true;
    return true;
  };
  const pump = (from, to, pair, held) => {
    from.on('data', (data) => {
      if (held(data)) pair.kept.push([to, data]);
      else to.write(data);
    });
    const end = () => { pair.end(); };
    from.on('close', end);
    from.on('error', end);
  };
  const server = createServer((client) => {
    if (proxy.mode === 'closed') { client.destroy(); return; }
    const redis = connect(proxy.target);
    const pair = { kept: [], snared: false,
      end: () => { pairs.delete(pair); client.destroy(); redis.destroy(); } };
    pairs.add(pair);
    pump(client, redis, pair, () => proxy.mode === 'mute');
    pump(redis, client, pair, (data) => {
      pair.snared ||= snared(data);
      return pair.snared || proxy.mode === 'mute';
    });
  });
  server.listen(path);
  server.unref();
  return Object.assign(proxy, {
    set: (mode) => {
      proxy.mode = mode;
      if (mode === 'closed') for (const pair of [...pairs]) pair.end();
      if (mode !== 'open') return;
      for (const pair of pairs) {
        pair.snared = false;
        for (const [to, data] of pair.kept.splice(0)) to.write(data);
      }
    },
    close: () => { for (const pair of [...pairs]) pair.end(); server.close(); },
  });
}

/** The library of lib/shim.c and its four numbers, for one program:
 * { env, library, set(name, value), get(name) }. Another one's library can be
 * given, then none is built. */
export function shim(library) {
  const dir = tmpdir('longhaul-shim-');
  if (!library) {
    library = join(dir, 'shim.so');
    const built = spawnSync(process.env.CC ?? 'cc', ['-shared', '-fPIC', '-O1',
      '-o', library, join(root, 'tests/scenario/lib/shim.c'), '-ldl'],
    { encoding: 'utf8' });
    assert.equal(built.status, 0, built.stderr);
  }
  const path = join(dir, 'numbers');
  writeFileSync(path, Buffer.alloc(32));
  const fd = openSync(path, 'r+');
  process.once('exit', () => closeSync(fd));
  const place = { clock_ms: 0, sync_errno: 8, write_errno: 16, sync_calls: 24 };
  const asan = process.env.ASAN_OPTIONS ?? '';
  return {
    library,
    env: { LD_PRELOAD: library, LONGHAUL_TEST_SHIM: path,
      ASAN_OPTIONS: `${asan}:verify_asan_link_order=0` },
    set: (name, value) => {
      const bytes = Buffer.alloc(8);
      bytes.writeBigInt64LE(BigInt(value));
      writeSync(fd, bytes, 0, 8, place[name]);
    },
    get: (name) => {
      const bytes = Buffer.alloc(8);
      readSync(fd, bytes, 0, 8, place[name]);
      return Number(bytes.readBigInt64LE());
    },
  };
}

/** The process that owns the job now: a consumer's name holds its pid. */
export async function ownerOf(redis, id) {
  const own = await redisDo(redis, 'HGET', `${P}job:${id}`, 'own');
  return own === null ? 0 : Number(/-(\d+)-[0-9a-f]+$/.exec(String(own))[1]);
}

/** Why there is no small disk here, or null. */
export function noSmallDisk() {
  if (process.getuid() !== 0) return 'only root can mount a small disk';
  const tried = spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'tmpfs',
    '/mnt']);
  return tried.status === 0 ? null : 'mounting is not allowed here';
}

/**
 * A file system of that size in a mount namespace of its own:
 * { dir, inside(path), enter }; enter is put before a command's words, dir is
 * the path in there, inside() the same from here.
 */
export async function smallDisk(size) {
  const dir = tmpdir('longhaul-disk-');
  const holder = await startProcess('unshare', { name: 'small-disk',
    args: ['-m', 'sh', '-c', `mount -t tmpfs -o size=${size} tmpfs ${dir} && `
      + 'echo mounted && exec sleep 600'], waitFor: /mounted/ });
  return { dir, enter: ['nsenter', '-t', String(holder.pid), '-m'],
    inside: (name) => join('/proc', String(holder.pid), 'root', dir, name) };
}

/** Open descriptors and resident bytes, or null when not ours to see. What
 * is connected to `port` does not count: kept connections are a pool. */
export function resources(pid, port) {
  const pooled = new Set(readFileSync(`/proc/${pid}/net/tcp`, 'utf8')
    .split('\n').slice(1).map((line) => line.trim().split(/\s+/))
    .filter((fields) => parseInt(fields[2]?.split(':')[1], 16) === port)
    .map((fields) => `socket:[${fields[9]}]`));
  const nameOf = (fd) => {
    try { return readlinkSync(`/proc/${pid}/fd/${fd}`); } catch { return null; }
  };
  try {
    const fds = readdirSync(`/proc/${pid}/fd`).map(nameOf)
      .filter((name) => name !== null && !pooled.has(name)).length;
    const pages = readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1];
    return { fds, rss: Number(pages) * 4096 };
  } catch (error) {
    if (error.code === 'EACCES') return null;
    throw error;
  }
}

/** Seconds of processor time so far. */
export function cpuSeconds(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** How many calls the simulator saw of each job: a Map. Quick ones have no
 * "begin" line, cut ones no "end". */
export function calls(stack) {
  const seen = new Map();
  for (const { job, call } of stack.claude.ledger()) {
    seen.set(job, (seen.get(job) ?? new Set()).add(call));
  }
  return new Map([...seen].map(([job, numbers]) => [job, numbers.size]));
}

/** The rows of the result store: Map of id -> [{ generation, state }], read
 * by a program that is not ours. */
export async function rows(stack) {
  const path = stack.env.LONGHAUL_STORE_URL.slice('sqlite:'.length);
  const [command, ...words] = [...stack.enter, 'python3'];
  const { stdout } = await promisify(execFile)(command, [...words, '-c', `
import json, sqlite3, sys
db = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True)
print(json.dumps(db.execute('SELECT id, generation, state FROM job')
  .fetchall()))`, path], { maxBuffer: 1 << 26 });
  const found = new Map();
  for (const [id, generation, state] of JSON.parse(stdout)) {
    found.set(id, [...(found.get(id) ?? []), { generation, state }]);
  }
  return found;
}

/** Waits until each of the jobs is being answered. */
export const called = (stack, ids) => until(() => {
  const begun = new Set(stack.claude.ledger()
    .filter((line) => line.event === 'begin').map((line) => line.job));
  return ids.every((id) => begun.has(id));
}, { what: 'the calls' });

/** n jobs of that model. */
export const submitAll = (stack, n, model, more) => Promise.all(
  Array.from({ length: n }, () => stack.submit(model, more)));

/** All succeeded after one call each, and nobody took anything over. */
export async function assertOnce(stack, ids, timeoutMs = 20_000) {
  const jobs = await stack.waitAll(ids, timeoutMs);
  const seen = calls(stack);
  for (const job of jobs) {
    assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
    assert.equal(job.unknown_calls, 0, 'taken over');
    assert.equal(job.attempts, 1);
    assert.equal(seen.get(job.id), 1, 'calls');
  }
}

/** Nothing of finished jobs is left in Redis but tombstones. */
export async function assertDrained(redis) {
  const client = redisClient(redis.socket);
  try {
    await until(async () => String(await client.command('GET', `${P}bytes`))
      === '0', { what: 'an empty queue' });
    const keys = (await client.command('KEYS', '*')).map(String);
    assert.deepEqual(keys.filter((key) =>
      /^lh:\{0\}:(job|body|parked|abort):/.test(key)), []);
    for (const key of keys.filter((k) => k.startsWith(`${P}q:`))) {
      assert.equal(Number(await client.command('XLEN', key)), 0, key);
      const [pending] = await client.command('XPENDING', key, 'w')
        .catch(() => [0]);
      assert.equal(pending, 0, `pending in ${key}`);
    }
    for (const key of ['ids', 'due', 'retry', 'staging']) {
      assert.equal(await client.command('ZCARD', P + key), 0, key);
    }
  } finally {
    client.close();
  }
}

/** Ready again, all of them. */
export const allReady = (stack, timeoutMs = 15_000) => Promise.all(
  [stack.submitter, stack.status, ...stack.workers].map((program) => until(
    async () => (await fetch(`${program.url}/readyz`)).status === 200,
    { timeoutMs, what: `readiness of ${program.name}` })));

/** Whether that process is there. */
export const lives = (pid) => existsSync(`/proc/${pid}`);

/** Runs `body` with a stack of its own, which is ended afterwards. */
export async function withStack(options, body) {
  const stack = await startStack(options);
  try {
    return await body(stack);
  } finally {
    await Promise.all([...stack.workers, stack.submitter, stack.status]
      .map((program) => program.kill()));
    await stack.claude.kill();
    await stack.redis.kill();
  }
}
