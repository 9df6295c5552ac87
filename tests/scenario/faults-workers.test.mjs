// Workers that stand still, wake up, die again and again or see a wrong
// clock: a job has one owner, one row a generation, and no call too many.

import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { bin, sleep, startProcess, stopAll, tmpdir, until }
  from './lib/index.mjs';
import { assertDrained, assertOnce, called, calls, lives, ownerOf, P, redisDo,
  redisProxy, rows, shim, submitAll, withStack } from './lib/faults.mjs';

const workerOf = (stack, pid) => stack.workers.find((w) => w.pid === pid);
const freeze = (program) => program.signal('SIGSTOP');
const thaw = (program) => program.signal('SIGCONT');

describe('workers', { concurrency: 6 }, () => {
  after(stopAll);

  test('a worker that was frozen with calls in flight changes nothing',
    () => withStack({ workers: 2 }, async (stack) => {
      const ids = await submitAll(stack, 6, 'mock-slow-1s');
      await called(stack, ids);
      const zombie = workerOf(stack, await ownerOf(stack.redis, ids[0]));
      const other = stack.workers.find((worker) => worker !== zombie);
      freeze(zombie);
      const jobs = await stack.waitAll(ids, 30_000);
      const before = new Map(jobs.map((job) => [job.id, job]));
      assert.equal(before.get(ids[0]).unknown_calls, 1);
      thaw(zombie);
      await until(() => /"taken_for_dead"/.test(zombie.stderr()),
        { what: 'that it learns what happened' });
      await sleep(1500);
      const found = await rows(stack);
      const seen = calls(stack);
      for (const id of ids) {
        assert.deepEqual(await stack.job(id), before.get(id), 'unchanged');
        assert.deepEqual(found.get(id), [{ generation: 0, state: 'succeeded' }]);
        assert.equal(seen.get(id), 1 + before.get(id).unknown_calls);
      }
      // and it goes on under a new name
      await other.stop();
      await assertOnce(stack, await submitAll(stack, 3, 'mock-ok'));
      await assertDrained(stack.redis);
      const names = (await redisDo(stack.redis, 'HKEYS', `${P}beat`)).map(String);
      assert.equal(names.filter((name) =>
        name.includes(`-${zombie.pid}-`)).length, 1, names.join());
    }));

  test('an answer that a frozen worker wakes up with is kept, once',
    () => withStack({ workers: 2 }, async (stack) => {
      const ids = await submitAll(stack, 4, 'mock-slow-9s');
      await called(stack, ids);
      const zombie = workerOf(stack, await ownerOf(stack.redis, ids[0]));
      freeze(zombie);
      // Taken over, called again, and not answered yet: both have paid.
      await until(() => ids.some((id) => calls(stack).get(id) === 2),
        { timeoutMs: 20_000, what: 'the takeover' });
      thaw(zombie);
      const jobs = await stack.waitAll(ids, 20_000);
      await assertDrained(stack.redis);
      const found = await rows(stack);
      for (const job of jobs) {
        assert.equal(job.status, 'succeeded');
        assert.deepEqual(found.get(job.id),
          [{ generation: 0, state: 'succeeded' }]);
        const now = await stack.job(job.id);
        assert.deepEqual([now.finished_at, now.version],
          [job.finished_at, job.version], 'a terminal state stays');
        assert.ok(calls(stack).get(job.id) <= 2);
      }
    }));

  test('a worker frozen between claim and call does not call any more',
    async () => {
      const proxy = redisProxy();
      try {
        await withStack({ workers: 1, redis:
          { onStart: (redis) => { proxy.target = redis.socket; } },
        env: { LONGHAUL_REDIS_URL: proxy.url } }, async (stack) => {
          const [zombie] = stack.workers;
          await assertOnce(stack, [await stack.submit('mock-ok')]);
          proxy.snare = 'words-to-catch';
          const id = await stack.submit('mock-ok', { text: 'words-to-catch' });
          await until(() => proxy.caught, { everyMs: 1, what: 'the claim' });
          freeze(zombie);
          proxy.set('open'); // the claim's answer is in its socket
          assert.equal(await ownerOf(stack.redis, id), zombie.pid);
          const successor = await stack.startWorker(
            { LONGHAUL_REDIS_URL: stack.redis.url });
          const job = await stack.wait(id, 30_000);
          assert.equal(job.status, 'succeeded');
          assert.equal(job.unknown_calls, 1, 'a takeover may cost one');
          assert.equal(calls(stack).get(id), 1);
          thaw(zombie);
          await until(() => /"taken_for_dead"/.test(zombie.stderr()),
            { what: 'that it learns what happened' });
          await sleep(1500);
          assert.equal(calls(stack).get(id), 1, 'not sent');
          assert.deepEqual(await stack.job(id), job);
          await successor.stop();
          await assertOnce(stack, [await stack.submit('mock-ok')]);
        });
      } finally {
        proxy.close();
      }
    });

  test('a job that kills every worker is set aside; its neighbours are not',
    () => withStack({ workers: 2 }, async (stack) => {
      const neighbours = await submitAll(stack, 4, 'mock-slow-2s');
      const poison = await stack.submit('mock-slow-6s');
      await called(stack, [poison, ...neighbours]);
      // A death takes 13 s to be sure of, so two of the five lie behind it: the
      // next makes it a suspect, and then it takes two more.
      await redisDo(stack.redis, 'HSET', `${P}job:${poison}`, 'tko', 1, 'stk', 1);
      let deaths = 0;
      const job = async () => (await stack.call('GET', `/v1/jobs/${poison}`)).json;
      for (;;) {
        const pid = await until(async () => {
          if ((await job()).status === 'failed') return -1;
          const owner = await ownerOf(stack.redis, poison);
          return lives(owner) && calls(stack).get(poison) === deaths + 1
            ? owner : 0;
        }, { timeoutMs: 25_000, what: 'the next owner' });
        if (pid < 0) break;
        neighbours.push(await stack.submit('mock-slow-1s'));
        await called(stack, neighbours.slice(-1));
        await workerOf(stack, pid).kill();
        deaths++;
        assert.ok(deaths <= 3, 'it goes on for ever');
        await stack.startWorker();
      }
      const dead = await job();
      assert.equal(dead.error.class, 'crash_loop');
      assert.equal(deaths, 3);
      assert.equal(dead.unknown_calls, 4);
      assert.equal(dead.attempts, 0);
      assert.equal(calls(stack).get(poison), 3);
      for (const other of await stack.waitAll(neighbours, 30_000)) {
        assert.equal(other.status, 'succeeded');
      }
      const letters = await stack.call('GET', '/v1/dead-letters');
      assert.deepEqual(letters.json.data.map(({ id }) => id), [poison]);
      const replay = await stack.call('POST',
        `/v1/dead-letters/${poison}/replay`, {});
      assert.equal(replay.status, 202, replay.text);
      const again = await stack.wait(poison, 20_000);
      assert.equal(again.status, 'succeeded');
      assert.equal(again.generation, 1);
      assert.deepEqual((await rows(stack)).get(poison).map((r) => r.state).sort(),
        ['failed', 'succeeded']);
      await assertDrained(stack.redis);
    }));

  // One at a time in a worker, whichever queue asks first; and behind an open
  // breaker only the probe asks, which has to wait for its turn.
  test('suspects behind an open breaker do not wait for other jobs',
    () => withStack({ workers: 1 }, async (stack) => {
      // The queues of a lower lane are asked while the probe is arranged.
      const known = await Promise.all(['claude-haiku-5-5', 'claude-sonnet-5-5']
        .map((model) => stack.submit(model, { longhaul: { lane: 'bulk' } })));
      await stack.waitAll(known, 15_000);
      await stack.workers[0].stop();
      const queue = `${P}q:standard:other`;
      const ids = await submitAll(stack, 12, 'mock-ok');
      for (const id of ids) {
        const job = `${P}job:${id}`;
        const entry = await redisDo(stack.redis, 'HGET', job, 'ent');
        await redisDo(stack.redis, 'XDEL', queue, String(entry));
        const suspect = await redisDo(stack.redis, 'XADD', `${queue}:suspect`,
          '*', 'i', id);
        await redisDo(stack.redis, 'HSET', job, 'str', 's', 'ent',
          String(suspect), 'tko', 2, 'fence', 1);
      }
      await redisDo(stack.redis, 'HSET', `${P}hold`, 'bucket:default/other',
        'open|1|1|for a test');
      await stack.startWorker();
      for (const job of await stack.waitAll(ids, 15_000))
        assert.equal(job.status, 'succeeded');
      await assertDrained(stack.redis);
    }));

  test('clocks that jump an hour either way take over and lose nothing',
    async () => {
      const clocks = [shim(), shim(), shim()];
      const [ahead, behind, both] = clocks;
      await withStack({ workers: 0, redis: { env: both.env },
        workerEnv: { LONGHAUL_RETRY_BASE: '20ms', LONGHAUL_RETRY_CAP: '200ms' } },
      async (stack) => {
        await stack.startWorker(ahead.env);
        await stack.startWorker(behind.env);
        const ids = await submitAll(stack, 6, 'mock-slow-13s');
        await called(stack, ids);
        ahead.set('clock_ms', 3_600_000);
        behind.set('clock_ms', -3_600_000);
        both.set('clock_ms', 3_600_000);
        const quick = await submitAll(stack, 10, 'mock-ok');
        const retried = await submitAll(stack, 4, 'mock-500-twice');
        // A deadline is Redis's: half an hour is not over for anybody.
        const limited = await submitAll(stack, 6, 'mock-slow-50ms',
          { longhaul: { expires_in: 1800 } });
        await assertOnce(stack, [...quick, ...limited]);
        for (const job of await stack.waitAll(retried)) {
          assert.equal(job.status, 'succeeded');
          assert.equal(job.attempts, 3);
        }
        both.set('clock_ms', 0);
        await assertOnce(stack, [...ids, ...await submitAll(stack, 10, 'mock-ok')]);
        await assertDrained(stack.redis);
        for (const worker of stack.workers) {
          assert.doesNotMatch(worker.stderr(),
            /worker_taken_over|taken_for_dead|rows_past_retention/);
        }
      });
    });

  test('up kills a worker that froze with the store\'s lock in its hand',
    async () => {
      const data = join(tmpdir(), 'var');
      const up = await startProcess(bin('longhaul'), {
        args: ['up', '--port', '0', '--data', data, '--workers', '2',
          '--no-demo', '--stall-timeout', '4s'],
        waitFor: /^ready (http:\/\/\S+)\n/m, timeoutMs: 30_000 });
      const url = up.match[1];
      const submit = async () => (await (await fetch(`${url}/v1/jobs`, {
        method: 'POST', headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ message: 'Hello.', model: 'mock-ok' }) }))
        .json()).id;
      const workers = () => [...up.stderr().matchAll(
        /"child_started","child":"worker-\d","pid":(\d+)/g)]
        .map((m) => Number(m[1])).filter(lives);
      const lockHeldBy = (pid) => {
        const inode = statSync(join(data, 'longhaul.db.lock')).ino;
        return readFileSync('/proc/locks', 'utf8').split('\n').some((line) =>
          new RegExp(`FLOCK .* ${pid} \\S+:${inode} `).test(line)
          && !line.includes('->'));
      };
      const ids = [];
      const frozen = await until(async () => {
        ids.push(...await Promise.all(Array.from({ length: 8 }, submit)));
        for (let i = 0; i < 400; i++) {
          for (const pid of workers()) {
            if (!lockHeldBy(pid)) continue;
            process.kill(pid, 'SIGSTOP');
            if (lockHeldBy(pid)) return pid;
            process.kill(pid, 'SIGCONT');
          }
        }
        return 0;
      }, { what: 'a moment under the lock', timeoutMs: 20_000 });
      const began = Date.now();
      ids.push(await submit());
      await until(() => /"child_stuck","child":"worker-/.test(up.stderr()),
        { timeoutMs: 10_000, what: 'that it is seen' });
      const ended = async (id) => ['succeeded', 'failed'].includes(
        (await (await fetch(`${url}/v1/jobs/${id}`)).json()).status);
      await until(async () => (await Promise.all(ids.map(ended))).every(Boolean),
        { timeoutMs: 25_000, what: 'the end of all' });
      assert.ok(!lives(frozen));
      assert.ok(Date.now() - began < 25_000);
      await until(() => workers().length === 2, { what: 'both workers' });
      assert.deepEqual(await up.stop(), { code: 0, signal: null });
    });
});
