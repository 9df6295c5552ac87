// The end of a worker at the worst moments: between a claim and its answer,
// by a second signal, with a Redis that does not answer any more.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { sleep, startProxy, startStack, stopAll, until }
  from './lib/index.mjs';

const begun = (stack, id) => stack.claude.ledger()
  .filter((l) => l.job === id && l.event === 'begin').length;

/** A stack without workers and one worker behind a proxy. */
async function stackWithProxy(env = {}) {
  const stack = await startStack();
  await stack.workers[0].stop();
  const proxy = await startProxy(stack.redis.socket);
  const worker = await stack.startWorker({
    LONGHAUL_REDIS_URL: proxy.url, ...env });
  return { stack, proxy, worker };
}

describe('a worker that ends', () => {
  after(stopAll);

  test('hands back what a claim brings after SIGTERM', async () => {
    const { stack, proxy, worker } = await stackWithProxy();
    proxy.hold((text) => /job_[0-9a-f-]{36}[^]*RUN/.test(text));
    const id = await stack.submit('mock-slow-5s');
    await proxy.held;
    worker.signal('SIGTERM');
    await until(() => /"event":"draining"/.test(worker.stderr()),
      { what: 'the drain' });
    await stack.startWorker();
    proxy.release();
    assert.deepEqual(await worker.exited, { code: 0, signal: null });
    const job = await stack.wait(id);
    assert.equal(job.status, 'succeeded');
    assert.equal(job.takeovers, 0);
    assert.equal(begun(stack, id), 1);
    proxy.close();
    await stopAll();
  });

  test('is not killed by its own clean-up after a second signal',
    async () => {
      const { stack, proxy, worker } = await stackWithProxy();
      const ids = [];
      for (let i = 0; i < 12; i++) {
        ids.push(await stack.submit(`mock-slow-${400 + 60 * i}ms`));
      }
      await until(() => ids.every((id) => begun(stack, id) === 1));
      proxy.hold(() => true); // Redis hears it, and seems to be silent
      await proxy.held;
      worker.signal('SIGTERM');
      await until(() => /"event":"draining"/.test(worker.stderr()),
        { what: 'the drain' });
      worker.signal('SIGTERM');
      await sleep(150);
      proxy.release();
      assert.deepEqual(await worker.exited, { code: 1, signal: null });
      const began = Date.now();
      await stack.startWorker();
      const jobs = await stack.waitAll(ids, 30_000);
      assert.ok(jobs.every((job) => job.status === 'succeeded'));
      assert.ok(Date.now() - began < 8000, 'what was cut is handed back');
      proxy.close();
      await stopAll();
    });

  test('ends in time when Redis is silent', async () => {
    const { stack, proxy, worker } = await stackWithProxy(
      { LONGHAUL_GRACE: '3s' });
    const long = `${'A long story. '.repeat(9000)}${Math.random()}`;
    const ids = [];
    for (let i = 0; i < 6; i++) {
      ids.push(await stack.submit('mock-slow-1s', { text: long }));
    }
    proxy.hold(() => true);
    await proxy.held;
    await sleep(300);
    worker.signal('SIGTERM');
    const began = Date.now();
    const { signal } = await worker.exited;
    assert.equal(signal, null);
    assert.ok(Date.now() - began < 6000);
    proxy.close();
    await stack.startWorker();
    const jobs = await stack.waitAll(ids, 40_000);
    assert.ok(jobs.every((job) => job.status === 'succeeded'));
    await stopAll();
  });
});
