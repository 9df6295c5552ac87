// The result store in trouble: what was paid for is kept and saved later, the
// worker claims nothing meanwhile, and no call is made twice for it.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, closeSync, copyFileSync, existsSync, openSync, readFileSync,
  rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { bin, sleep, startProcess, stopAll, tmpdir, until }
  from './lib/index.mjs';
import { assertDrained, assertOnce, called, calls, noSmallDisk, ownerOf, P,
  redisDo, rows, shim, smallDisk, submitAll, withStack } from './lib/faults.mjs';

const pathOf = (stack) => stack.env.LONGHAUL_STORE_URL.slice('sqlite:'.length);
const workerOf = (stack, pid) => stack.workers.find((w) => w.pid === pid);
const EIO = 5;
const ENOSPC = 28;

/** How long a frozen process keeps the store's lock; two leases at least. */
const LOCK_SECONDS = Number(process.env.LOCK_SECONDS ?? 20);

/** Holds a lock of the store until the returned function is called; that has
 * the holder as `child`. */
async function hold(how, path) {
  const words = how === 'flock' ? ['flock', [`${path}.lock`, '-c',
    'echo held; read x']] : ['python3', ['-c', `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
db.execute('BEGIN EXCLUSIVE')
print('held', flush=True)
sys.stdin.readline()`, path]];
  const child = spawn(words[0], words[1], { stdio: ['pipe', 'pipe', 'inherit'] });
  await new Promise((resolve, reject) => {
    child.stdout.once('data', resolve);
    child.once('exit', () => reject(new Error(`${how} was not had`)));
  });
  return Object.assign(() => child.stdin.end('\n'), { child });
}

/** Empties the log: the next row needs room on the disk. What is free within
 * it, after a checkpoint of an idle worker, is enough for a few. */
function emptyLog(disk) {
  const [command, ...words] = [...disk.enter, 'python3', '-c', `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
sys.exit(db.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchone()[0])`,
  join(disk.dir, 'results.db')];
  return until(() => spawnSync(command, words).status === 0,
    { what: 'an empty log' });
}

const inTrouble = (worker, times = 1) => until(() =>
  worker.stderr().split('"store_trouble"').length > times,
{ what: 'the trouble', timeoutMs: 15_000 });

/**
 * Four calls are answered while the store does not take their rows: `hurt`,
 * then `heal`. They are parked, nothing new is claimed, and afterwards all is
 * saved with one call each.
 */
async function trouble(stack, { hurt, heal, parks = true }) {
  const worker = stack.workers[0];
  const paid = await submitAll(stack, 4, 'mock-slow-2s');
  await called(stack, paid);
  await hurt();
  await inTrouble(worker);
  const waiting = await submitAll(stack, 4, 'mock-ok');
  if (parks) {
    for (const id of paid) {
      await until(() => redisDo(stack.redis, 'EXISTS', `${P}parked:${id}`),
        { what: 'a parked answer', timeoutMs: 15_000 });
    }
  }
  await sleep(2500);
  for (const id of waiting) {
    assert.equal(calls(stack).get(id), undefined, 'nothing is claimed');
  }
  assert.equal((await fetch(`${worker.url}/livez`)).status, 200);
  await heal();
  await assertOnce(stack, [...paid, ...waiting], 30_000);
  assert.match(worker.stderr(), /"store_works_again"/);
  await assertDrained(stack.redis);
  const found = await rows(stack);
  for (const id of [...paid, ...waiting]) {
    assert.deepEqual(found.get(id), [{ generation: 0, state: 'succeeded' }]);
  }
}

describe('the result store', { concurrency: 9 }, () => {
  after(stopAll);

  for (const how of ['flock', 'BEGIN EXCLUSIVE']) {
    test(`busy: another process holds it (${how})`, () => withStack({},
      async (stack) => {
        let release;
        await trouble(stack, {
          hurt: async () => { release = await hold(how, pathOf(stack)); },
          heal: () => release() });
      }));
  }

  test(`a frozen process keeps its lock for ${LOCK_SECONDS} s`, (t) => withStack(
    { workers: 2 }, async (stack) => {
      const paid = await submitAll(stack, 8, 'mock-slow-2s');
      await called(stack, paid);
      const release = await hold('flock', pathOf(stack));
      release.child.kill('SIGSTOP');
      const began = Date.now();
      for (const id of paid) {
        await until(() => redisDo(stack.redis, 'EXISTS', `${P}parked:${id}`),
          { what: 'a parked answer', timeoutMs: 15_000 });
      }
      const took = Date.now() - began;
      t.diagnostic(`${paid.length} answers parked ${took} ms after the lock `
        + 'was taken');
      assert.ok(took < 10_000, 'none waits for the lock a second time');
      for (const worker of stack.workers) await inTrouble(worker);
      const waiting = await submitAll(stack, 8, 'mock-ok');
      await sleep(began + LOCK_SECONDS * 1000 - Date.now());
      assert.equal(release.child.signalCode, null, 'it still holds it');
      assert.equal((await rows(stack)).size, 0);
      for (const id of waiting) {
        assert.equal(calls(stack).get(id), undefined, 'nothing is claimed');
      }
      // What was parked survives its worker, too.
      const gone = workerOf(stack, await ownerOf(stack.redis, paid[0]));
      await gone.kill();
      release.child.kill('SIGCONT');
      release();
      await assertOnce(stack, [...paid, ...waiting], 30_000);
      await assertDrained(stack.redis);
      const found = await rows(stack);
      for (const id of [...paid, ...waiting]) {
        assert.deepEqual(found.get(id), [{ generation: 0, state: 'succeeded' }]);
      }
    }));

  test('a full disk, as the system call tells it', async () => {
    const lies = shim();
    await withStack({ workerEnv: lies.env }, (stack) => trouble(stack, {
      hurt: () => lies.set('write_errno', ENOSPC),
      heal: () => lies.set('write_errno', 0) }));
  });

  test('a full disk, a real one', async (t) => {
    const why = noSmallDisk();
    if (why) { t.skip(why); return; }
    const disk = await smallDisk('4m');
    const ballast = disk.inside('ballast');
    await withStack({ enter: disk.enter,
      env: { LONGHAUL_STORE_URL: `sqlite:${join(disk.dir, 'results.db')}` } },
    async (stack) => {
      await trouble(stack, {
        hurt: async () => {
          await emptyLog(disk);
          try {
            writeFileSync(ballast, Buffer.alloc(4 << 20));
          } catch (error) { assert.equal(error.code, 'ENOSPC'); }
        },
        heal: () => rmSync(ballast) });
    });
  });

  test('what was parked is saved by the next owner, without a call', async () => {
    const lies = shim();
    await withStack({ workerEnv: lies.env }, async (stack) => {
      const ids = await submitAll(stack, 4, 'mock-slow-500ms');
      await called(stack, ids);
      lies.set('write_errno', ENOSPC);
      for (const id of ids) {
        await until(() => redisDo(stack.redis, 'EXISTS', `${P}parked:${id}`),
          { what: 'a parked answer' });
      }
      await stack.workers[0].kill();
      assert.equal((await rows(stack)).size, 0);
      lies.set('write_errno', 0);
      await stack.startWorker();
      const jobs = await stack.waitAll(ids, 30_000);
      for (const job of jobs) {
        assert.equal(job.status, 'succeeded');
        assert.equal(calls(stack).get(job.id), 1);
        assert.ok(job.usage.output_tokens > 0);
        assert.equal((await stack.result(job.id)).status, 200);
      }
      await assertDrained(stack.redis);
    });
  });
  test('a failed fsync ends the process; it recovers on restart', async () => {
    const lies = shim();
    await withStack({ workerEnv: lies.env }, async (stack) => {
      const worker = stack.workers[0];
      await assertOnce(stack, await submitAll(stack, 3, 'mock-ok'));
      const ids = await submitAll(stack, 3, 'mock-slow-500ms');
      await called(stack, ids);
      lies.set('sync_errno', EIO);
      assert.deepEqual(await worker.exited, { code: 1, signal: null });
      assert.match(worker.stderr(), /"store_unsafe_end".*I\/O error/);
      lies.set('sync_errno', 0);
      await stack.startWorker();
      for (const job of await stack.waitAll(ids, 30_000)) {
        assert.equal(job.status, 'succeeded');
        assert.ok(calls(stack).get(job.id) <= 2);
      }
      assert.ok(lies.get('sync_calls') > 0, 'the shim is in place');
      await assertDrained(stack.redis);
    });
  });

  test('a read-only store is refused at the start, with a clear message',
    async (t) => {
      const root = process.getuid() === 0;
      const why = root ? noSmallDisk() : null;
      if (why) { t.skip(why); return; }
      const disk = root ? await smallDisk('4m') : { dir: tmpdir(), enter: [] };
      const path = join(disk.dir, 'results.db');
      const [command, ...words] = [...disk.enter, bin('longhaul-worker')];
      const start = (waitFor) => startProcess(command, { args: words, waitFor,
        env: { LONGHAUL_STORE_URL: `sqlite:${path}`, ANTHROPIC_API_KEY: 'sk-x',
          LONGHAUL_REDIS_URL: `unix://${disk.dir}/none` }, cwd: tmpdir() });
      assert.equal((await (await start(/^ready/m)).stop()).code, 0);
      if (root) { // who may write what he likes
        const [enter, ...more] = disk.enter;
        assert.equal(spawnSync(enter, [...more, 'mount', '-o', 'remount,ro',
          disk.dir]).status, 0);
      } else {
        chmodSync(path, 0o400);
      }
      const worker = await start();
      assert.equal((await worker.exited).code, 1);
      assert.match(worker.stderr(), /result store .*results\.db: /);
      t.diagnostic(worker.stderr().trim().split('\n').at(-1));
    });

  for (const [name, damage] of [
    ['its middle is garbage', (path) => {
      const size = statSync(path).size;
      const fd = openSync(path, 'r+');
      for (let at = 4096; at < size; at += 4096) {
        writeSync(fd, Buffer.alloc(512, 0x5a), 0, 512, at);
      }
      closeSync(fd);
    }],
    ['its head is garbage', (path) => {
      const fd = openSync(path, 'r+');
      writeSync(fd, Buffer.alloc(100, 0x5a), 0, 100, 0);
      closeSync(fd);
    }],
  ]) {
    test(`damaged: ${name}: nobody starts, all say why`, () => withStack({},
      async (stack) => {
        await assertOnce(stack, await submitAll(stack, 20, 'mock-ok'));
        for (const program of [...stack.workers, stack.submitter,
          stack.status]) await program.stop();
        const path = pathOf(stack);
        copyFileSync(path, `${path}.kept`);
        damage(path);
        const before = readFileSync(path);
        const worker = await startProcess(bin('longhaul-worker'), { env:
          { ...stack.env, ANTHROPIC_BASE_URL: stack.claude.url,
            ANTHROPIC_API_KEY: 'sk-ant-x' } });
        assert.equal((await worker.exited).code, 1);
        assert.match(worker.stderr(),
          /result store .*results\.db: .*(damaged|not a SQLite database)/);
        if (name === 'its head is garbage') {
          for (const program of ['longhaul-status', 'longhaul-submitter']) {
            const reader = await startProcess(bin(program), { env: stack.env });
            assert.equal((await reader.exited).code, 1, program);
            assert.match(reader.stderr(), /not a SQLite database/);
          }
        }
        assert.deepEqual(readFileSync(path), before, 'left as it was');
        copyFileSync(`${path}.kept`, path);
        rmSync(`${path}-wal`, { force: true });
        rmSync(`${path}-shm`, { force: true });
        assert.ok(existsSync(path));
      }));
  }
});
