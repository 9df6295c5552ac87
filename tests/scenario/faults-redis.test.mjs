// Redis in trouble: calls in flight finish and are saved, what waits for
// Redis is sent again, submits are refused in time, health answers, and all
// go on by themselves.

import assert from 'node:assert/strict';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { startRedis, sleep, stopAll, until } from './lib/index.mjs';
import { allReady, assertDrained, assertOnce, called, calls, noSmallDisk, P,
  redisDo, redisProxy, rows, smallDisk, submitAll, watchHealth, withStack }
  from './lib/faults.mjs';

const everybody = (stack) => [stack.submitter, stack.status, ...stack.workers];

/** A submit that cannot be accepted says so in time, and when to come back. */
async function assertRefused(stack, statuses = [503]) {
  const began = Date.now();
  const answer = await stack.post({ model: 'mock-ok', max_tokens: 5,
    messages: [{ role: 'user', content: 'x' }] });
  assert.ok(statuses.includes(answer.status), `${answer.status} ${answer.text}`);
  assert.ok(Date.now() - began < 7500, `${Date.now() - began} ms`);
  assert.match(answer.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
  assert.equal(answer.json.type, 'error');
  return answer;
}

/** The rows of these jobs are there while Redis cannot say anything. */
const assertSaved = (stack, ids) => until(async () => {
  const found = await rows(stack);
  return ids.every((id) => found.has(id));
}, { what: 'the rows', everyMs: 200 });

/** Jobs that are neither in flight nor in the store are not denied. */
async function assertNotDenied(stack) {
  const answer = await stack.call('GET',
    '/v1/jobs/job_019aa000-0000-7000-8000-000000000000');
  assert.equal(answer.status, 503, answer.text);
  assert.match(answer.headers.get('retry-after') ?? '', /^\d+$/);
}

/**
 * Six calls are in flight when `hurt` happens; their rows are there before
 * `heal`; then the acknowledgements come, and work goes on.
 */
async function outage(t, stack, { hurt, heal, readable = false }) {
  const ids = await submitAll(stack, 6, 'mock-slow-1200ms');
  await called(stack, ids);
  const health = watchHealth(t, everybody(stack));
  await hurt();
  const first = assertRefused(stack);
  await assertSaved(stack, ids);
  await first;
  await assertRefused(stack);
  if (!readable) await assertNotDenied(stack);
  await heal();
  await allReady(stack);
  await health.stop();
  await assertOnce(stack, [...ids, ...await submitAll(stack, 4, 'mock-ok')]);
  await assertDrained(stack.redis);
}

describe('Redis away', { concurrency: 3 }, () => {
  after(stopAll);

  test('restarted in good order', (t) => withStack({ workers: 2 }, (stack) =>
    outage(t, stack, {
      hurt: () => stack.redis.stop(),
      heal: async () => {
        stack.redis = await startRedis({ dir: stack.redis.dir });
      } })));

  test('killed', (t) => withStack({ workers: 2 }, (stack) =>
    outage(t, stack, {
      hurt: () => stack.redis.kill(),
      heal: async () => {
        stack.redis = await startRedis({ dir: stack.redis.dir });
      } })));

  test('frozen for 15 s: nobody is taken over', (t) => withStack(
    { workers: 2 }, async (stack) => {
      const began = Date.now();
      // longer than the freeze: they are in flight when Redis thaws
      const long = await submitAll(stack, 3, 'mock-slow-18s');
      await called(stack, long);
      await outage(t, stack, {
        hurt: () => stack.redis.signal('SIGSTOP'),
        heal: async () => {
          await sleep(15_000 - (Date.now() - began));
          stack.redis.signal('SIGCONT');
        } });
      await assertOnce(stack, long, 30_000);
      for (const worker of stack.workers) {
        assert.doesNotMatch(worker.stderr(), /worker_taken_over|taken_for_dead/);
      }
    }));

  for (const mode of ['mute', 'closed']) {
    test(`unreachable (${mode})`, async (t) => {
      const proxy = redisProxy();
      try {
        await withStack({ workers: 2,
          redis: { onStart: (redis) => { proxy.target = redis.socket; } },
          env: { LONGHAUL_REDIS_URL: proxy.url } }, (stack) =>
          outage(t, stack, { hurt: () => proxy.set(mode),
            heal: () => proxy.set('open') }));
      } finally {
        proxy.close();
      }
    });
  }
});

describe('Redis there, but not well', { concurrency: 3 }, () => {
  after(stopAll);

  test('out of memory: submits are refused, work drains', (t) => withStack(
    { workers: 2, workerEnv: { LONGHAUL_WORKER_CONCURRENCY: '2' } },
    async (stack) => {
      const ids = await submitAll(stack, 16, 'mock-slow-300ms');
      const health = watchHealth(t, everybody(stack));
      await redisDo(stack.redis, 'CONFIG', 'SET', 'maxmemory', '1mb');
      await assertRefused(stack, [429, 503]);
      await assertOnce(stack, ids);
      await assertDrained(stack.redis);
      await assertRefused(stack, [429, 503]);
      await redisDo(stack.redis, 'CONFIG', 'SET', 'maxmemory', '0');
      await until(async () => (await stack.post({ model: 'mock-ok',
        max_tokens: 5, messages: [{ role: 'user', content: 'x' }] })).status
        === 202, { what: 'an accepted submit' });
      await health.stop();
    }));

  test('read-only: it is a replica for a while', (t) => withStack(
    { workers: 2 }, (stack) => outage(t, stack, { readable: true,
      hurt: () => redisDo(stack.redis, 'REPLICAOF', '127.0.0.1', '1'),
      heal: () => redisDo(stack.redis, 'REPLICAOF', 'NO', 'ONE') })));

  test('the script cache is flushed all the time', () => withStack(
    { workers: 2 }, async (stack) => {
      const ids = [];
      for (let i = 0; i < 20; i++) {
        ids.push(...await submitAll(stack, 5, 'mock-slow-20ms'));
        await redisDo(stack.redis, 'SCRIPT', 'FLUSH');
      }
      await assertOnce(stack, ids);
      await assertDrained(stack.redis);
    }));

  for (const [name, wrong, right, reason] of [
    ['maxmemory-policy', 'allkeys-lru', 'noeviction', /may evict/],
    ['appendfsync', 'everysec', 'always', /may lose/],
  ]) {
    test(`${name} ${wrong} is refused at the next connect`, (t) => withStack(
      { workers: 1 }, async (stack) => {
        await outage(t, stack, {
          hurt: async () => {
            await redisDo(stack.redis, 'CONFIG', 'SET', name, wrong);
            await redisDo(stack.redis, 'CLIENT', 'KILL', 'TYPE', 'normal',
              'SKIPME', 'yes');
            await redisDo(stack.redis, 'CLIENT', 'KILL', 'TYPE', 'pubsub');
            await until(async () => reason.test(await (await fetch(
              `${stack.submitter.url}/readyz`)).text()), { what: 'the reason' });
          },
          heal: () => redisDo(stack.redis, 'CONFIG', 'SET', name, right) });
        for (const program of everybody(stack)) {
          assert.match(program.stderr(), reason);
        }
      }));
  }

  test('full disk: it ends, and what was accepted is there afterwards',
    async (t) => {
      const why = noSmallDisk();
      if (why) { t.skip(why); return; }
      const disk = await smallDisk('2m');
      const socket = (await startRedis()).dir;
      await withStack({ workers: 1, redis: { enter: disk.enter, data: disk.dir,
        dir: socket }, workerEnv: { LONGHAUL_WORKER_CONCURRENCY: '1' } },
      async (stack) => {
        const ids = await submitAll(stack, 6, 'mock-slow-700ms');
        await called(stack, ids.slice(0, 1));
        const health = watchHealth(t, everybody(stack));
        try {
          writeFileSync(disk.inside('ballast'), Buffer.alloc(2 << 20));
        } catch (error) { assert.equal(error.code, 'ENOSPC'); }
        // the last page of the file may have had room for the jobs
        await redisDo(stack.redis, 'SET', 'x', 'x'.repeat(8192)).catch(() => {});
        await until(() => stack.redis.child.exitCode !== null,
          { what: 'the end of Redis' });
        await assertRefused(stack);
        rmSync(disk.inside('ballast'));
        stack.redis = await startRedis({ enter: disk.enter, data: disk.dir,
          dir: socket });
        await allReady(stack);
        await health.stop();
        await assertOnce(stack, ids);
        assert.ok(existsSync(disk.inside('appendonlydir')));
      });
    });

  test('emptied: noticed, loud, not served until accepted', (t) => withStack(
    { workers: 1 }, async (stack) => {
      const ids = await submitAll(stack, 4, 'mock-slow-1200ms');
      await called(stack, ids);
      const health = watchHealth(t, everybody(stack));
      await redisDo(stack.redis, 'FLUSHALL');
      // Not for a moment is an accepted job denied.
      const watched = Promise.all(ids.map(async (id) => {
        for (;;) {
          const { status, json } = await stack.call('GET', `/v1/jobs/${id}`);
          if (status === 200 && json.status === 'succeeded') return;
          assert.equal(status, 503);
          await sleep(20);
        }
      }));
      watched.catch(() => {});
      await until(async () => (await Promise.all(everybody(stack).map((p) =>
        fetch(`${p.url}/readyz`)))).every(({ status }) => status === 503),
      { timeoutMs: 5000, what: 'that all notice' });
      for (const program of everybody(stack)) {
        assert.match(program.stderr(), /"level":"error".*"marker_refused"/);
      }
      await assertRefused(stack);
      await watched; // the calls in flight were saved all the same
      await sleep(1500);
      assert.equal(await redisDo(stack.redis, 'EXISTS', `${P}install`), 0);
      await assertRefused(stack);
      await health.stop();
      await stack.startWorker({ LONGHAUL_ACCEPT_EMPTY_REDIS: 'true' });
      await allReady(stack);
      const more = await submitAll(stack, 4, 'mock-ok');
      await assertOnce(stack, more);
      for (const id of ids) assert.equal(calls(stack).get(id), 1);
    }));

  test('another installation\'s: nothing is taken from it', async () => {
    const proxy = redisProxy();
    try {
      await withStack({ workers: 1 }, (other) => withStack({ workers: 1,
        redis: { onStart: (redis) => { proxy.target = redis.socket; } },
        env: { LONGHAUL_REDIS_URL: proxy.url } }, async (stack) => {
        await other.workers[0].stop();
        const id = await other.submit('mock-ok');
        proxy.set('closed');
        proxy.target = other.redis.socket;
        proxy.set('open');
        await until(() => /"marker_refused".*different installations/
          .test(stack.workers[0].stderr()), { what: 'that it is noticed' });
        await sleep(1500);
        assert.equal(calls(stack).get(id), undefined);
        assert.equal((await other.job(id)).status, 'queued');
        proxy.set('closed');
        proxy.target = stack.redis.socket;
        proxy.set('open');
        await allReady(stack);
        await assertOnce(stack, [await stack.submit('mock-ok')]);
      }));
    } finally {
      proxy.close();
    }
  });
});
