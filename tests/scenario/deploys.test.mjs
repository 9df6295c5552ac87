// Programs that are replaced while they work, and what a long run leaves: no
// accepted job lost, no request failed, one call a job, nothing grown.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { request } from 'node:http';
import { connect } from 'node:net';
import { after, describe, test } from 'node:test';
import { freePort, sleep, startRedis, stopAll, until } from './lib/index.mjs';
import { assertDrained, assertOnce, called, calls, cpuSeconds, ownerOf, redisDo,
  resources, submitAll, withStack } from './lib/faults.mjs';

/** POSTs a job on a connection of its own: the id, or throws. */
function post(url, model) {
  return new Promise((resolve, reject) => {
    const req = request(`${url}/v1/jobs`, { method: 'POST', agent: false,
      headers: { 'content-type': 'application/json' } }, (res) => {
      let text = '';
      res.on('data', (data) => { text += data; });
      res.on('end', () => (res.statusCode === 202
        ? resolve(JSON.parse(text).id)
        : reject(new Error(`${res.statusCode} ${text}`))));
      res.on('error', reject);
    });
    req.on('error', reject);
    req.end(JSON.stringify({ model, max_tokens: 5,
      messages: [{ role: 'user', content: 'x' }] }));
  });
}

/** Submits until stop(), which tells the ids and what failed. */
function load(url, model, clients = 4) {
  const ids = [];
  const failed = [];
  let on = true;
  const one = async () => {
    while (on) {
      await post(url, model).then((id) => ids.push(id),
        (error) => failed.push(error.message));
      await sleep(5);
    }
  };
  const all = Promise.all(Array.from({ length: clients }, one));
  return { ids, stop: async () => {
    on = false;
    await all;
    return { ids, failed };
  } };
}

describe('deploys', { concurrency: 4 }, () => {
  after(stopAll);

  test('a rolling restart of every process under load', async (t) => {
    const [one, two] = [await freePort(), await freePort()];
    await withStack({ workers: 2, env: { LONGHAUL_GRACE: '10s',
      LONGHAUL_SUBMITTER_LISTEN: `127.0.0.1:${one}`,
      LONGHAUL_STATUS_LISTEN: `127.0.0.1:${two}` } }, async (stack) => {
      const running = load(stack.submitter.url, 'mock-slow-400ms');
      const reads = { count: 0, failed: [] };
      let reading = true;
      const reader = (async () => {
        while (reading) {
          const id = running.ids[Math.floor(Math.random() * running.ids.length)];
          if (id) {
            const { status } = await fetch(`${stack.status.url}/v1/jobs/${id}`,
              { headers: { connection: 'close' } })
              .catch((error) => ({ status: String(error.cause ?? error) }));
            reads.count++;
            if (status !== 200) reads.failed.push(status);
          }
          await sleep(5);
        }
      })();
      for (let round = 0; round < 2; round++) {
        await sleep(400);
        for (const worker of [...stack.workers]) {
          await stack.startWorker();
          assert.deepEqual(await worker.stop(), { code: 0, signal: null });
          stack.workers.splice(stack.workers.indexOf(worker), 1);
        }
        // The new one shares the port before the old one leaves it.
        for (const name of ['submitter', 'status']) {
          const old = stack[name];
          stack[name] = await stack.start(`longhaul-${name}`);
          await until(async () => (await fetch(`${old.url}/readyz`)).ok);
          await sleep(300);
          assert.deepEqual(await old.stop(), { code: 0, signal: null });
        }
      }
      await sleep(300);
      const { ids, failed } = await running.stop();
      reading = false;
      await reader;
      t.diagnostic(`${ids.length} jobs, ${reads.count} reads`);
      assert.deepEqual(failed, [], 'submits');
      assert.deepEqual(reads.failed, [], 'reads');
      assert.ok(ids.length > 50);
      await assertOnce(stack, ids, 30_000);
      await assertDrained(stack.redis);
    });
  });

  test('a grace shorter than the calls: handed back at once, exit 0',
    async (t) => withStack({ workers: 2, workerEnv: { LONGHAUL_GRACE: '2s' } },
      async (stack) => {
        // Who knows no limits yet starts few calls.
        await assertOnce(stack, await submitAll(stack, 20, 'mock-slow-50ms'));
        const ids = await submitAll(stack, 6, 'mock-slow-4s');
        await called(stack, ids);
        const owners = await Promise.all(ids.map((id) =>
          ownerOf(stack.redis, id)));
        const leaving = stack.workers.find(({ pid }) => pid === owners[0]);
        const mine = ids.filter((_, i) => owners[i] === leaving.pid);
        const began = Date.now();
        const end = leaving.stop();
        await until(() => mine.every((id) => calls(stack).get(id) === 2),
          { everyMs: 10, what: 'that others have them' });
        const took = Date.now() - began;
        assert.deepEqual(await end, { code: 0, signal: null });
        t.diagnostic(`${mine.length} jobs elsewhere ${took} ms after SIGTERM`);
        assert.ok(took >= 2000, `not before the grace is over: ${took} ms`);
        assert.ok(took < 3000, `${took} ms`);
        for (const job of await stack.waitAll(ids)) {
          assert.equal(job.status, 'succeeded');
          assert.equal(job.attempts, 1);
        }
        await assertDrained(stack.redis);
      }));

  test('a submitter without descriptors rests, and recovers', () => withStack({},
    async (stack) => {
      const { submitter } = stack;
      const idle = [];
      const limit = (n) => assert.equal(spawnSync('prlimit',
        ['--pid', String(submitter.pid), `--nofile=${n}:${1024}`]).status, 0);
      limit(40);
      // Half a body each: who sent less would be put off to make room.
      for (let i = 0; i < 80; i++) {
        const socket = connect(new URL(submitter.url).port, '127.0.0.1');
        socket.on('error', () => {});
        socket.write('POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\n'
          + 'Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{');
        idle.push(socket);
        await sleep(3);
      }
      await until(() => /"accept_paused"/.test(submitter.stderr()),
        { what: 'the pause' });
      const before = cpuSeconds(submitter.pid);
      await sleep(2000);
      const used = cpuSeconds(submitter.pid) - before;
      assert.ok(used < 1, `${used} s of processor time in 2 s`);
      for (const socket of idle) socket.destroy();
      await until(() => post(submitter.url, 'mock-ok').catch(() => null),
        { what: 'an accepted submit' });
      await assertOnce(stack, await submitAll(stack, 5, 'mock-ok'));
    }));

  test('thousands of jobs with faults leave nothing behind', async (t) => {
    await withStack({ workers: 2 }, async (stack) => {
      const programs = [stack.submitter, stack.status, ...stack.workers];
      const insist = async () => { // as a client does after a 503
        for (;;) {
          const id = await post(stack.submitter.url, 'mock-ok')
            .catch((error) => /^503/.test(error.message) ? sleep(200)
              : Promise.reject(error));
          if (id) return id;
        }
      };
      const round = async (n) => {
        const ids = [];
        while (ids.length < n) {
          ids.push(...await Promise.all(Array.from({ length: 50 }, insist)));
        }
        await Promise.all([0, 1, 2, 3].map(async (part) => {
          for (let i = part; i < ids.length; i += 4) {
            await stack.wait(ids[i], 30_000);
          }
        }));
        return ids;
      };
      const port = Number(new URL(stack.claude.url).port);
      const descriptors = programs.map(({ pid }) => resources(pid, port)?.fds);
      await round(500); // buffers, pools and caches have their size now
      const before = programs.map(({ pid }) => resources(pid, port));
      const keysOf = async () => (await redisDo(stack.redis, 'KEYS', '*'))
        .map(String).filter((key) => !/:tomb:/.test(key)).sort();
      const keys = await keysOf();
      const all = [];
      for (let i = 0; i < 5; i++) {
        const going = round(500);
        await sleep(150);
        if (i % 2 === 0) {
          await redisDo(stack.redis, 'CLIENT', 'KILL', 'TYPE', 'normal',
            'SKIPME', 'yes');
        } else {
          stack.redis.signal('SIGSTOP');
          await sleep(700);
          stack.redis.signal('SIGCONT');
        }
        all.push(...await going);
      }
      await assertDrained(stack.redis);
      await sleep(500);
      const seen = calls(stack);
      const twice = all.filter((id) => seen.get(id) !== 1);
      assert.deepEqual(twice, [], 'called once each');
      const left = (await keysOf()).filter((key) => !keys.includes(key));
      assert.deepEqual(left.filter((key) => !/:(idle|turn|recover)/.test(key)), []);
      for (const [i, program] of programs.entries()) {
        const now = resources(program.pid, port);
        if (now === null) continue; // not ours to see
        t.diagnostic(`${program.name}: descriptors ${descriptors[i]} -> ${now.fds}`
          + `, MB ${(before[i].rss / 1e6).toFixed(1)} -> ${
            (now.rss / 1e6).toFixed(1)}`);
        assert.ok(now.fds <= descriptors[i] + 12, `${program.name}: descriptors`);
        assert.ok(now.rss < before[i].rss * 1.5 + 8e6, `${program.name}: memory`);
      }
    });
  });
});
