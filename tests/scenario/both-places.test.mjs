// A job that is committed and not yet acknowledged is in Redis and in the
// store. Without Redis readers are shown its end; when Redis is back, and until
// the acknowledgement arrives, it must not seem to run again.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { redisClient } from './lib/redis-client.mjs';
import { shim } from './lib/faults.mjs';
import { startStack, stopAll, until } from './lib/index.mjs';

const P = 'lh:{0}:';

describe('one job, several places and lives', () => {
  let stack;
  after(stopAll);

  test('the stack starts', async () => { stack = await startStack(); });

  for (const [card, state, ...fields] of [
    ['mock-slow-500ms', 'succeeded', 'st', 'running', 'own', 'somebody'],
    ['mock-400', 'failed', 'st', 'running', 'own', 'somebody'],
    // Closed without a call, and whoever closed it is dead.
    ['mock-ok', 'succeeded', 'st', 'queued', 'str', 'c', 'ent', '1-1']]) {
    test(`one that ${state}, left as ${fields[1]}, is shown as ${state}`, async () => {
      const id = await stack.submit(card);
      const client = redisClient(stack.redis.socket);
      const job = await stack.wait(id);
      assert.equal(job.status, state);
      // As Redis would hold it had the acknowledgement not arrived.
      const started = fields.includes('running')
        ? ['t0', Date.parse(job.started_at)] : [];
      await client.command('HSET', `${P}job:${id}`, ...fields, ...started, 'gen',
        '0', 'ver', '2', 'q', 'standard:other', 'fence', '999999', 'meta',
        JSON.stringify({
          m: card, b: 'other', t: 'default', c: Date.parse(job.created_at),
          e: Date.now() + 60_000, l: 'standard' }));
      const again = await stack.job(id);
      assert.equal(again.status, state);
      assert.equal(again.version, job.version);
      assert.equal(again.finished_at, job.finished_at);
      assert.equal((await stack.result(id)).status, state === 'failed' ? 409 : 200);
      await client.command('ZADD', `${P}ids`, 0, id);
      const { json } = await stack.call('GET', '/v1/jobs');
      assert.equal(json.data.find((one) => one.id === id).status, state);
      await client.command('DEL', `${P}job:${id}`);
      await client.command('ZREM', `${P}ids`, id);
      client.close();
    });
  }

  test('a second click does not hit the next life of a dead letter', async () => {
    const id = await stack.submit('mock-400');
    await stack.wait(id);
    const click = () => stack.call('POST',
      `/v1/dead-letters/${id}/replay?generation=0`);
    assert.equal((await click()).status, 202);
    const job = await until(async () => {
      const now = await stack.job(id);
      return now.status === 'failed' && now.generation === 1 ? now : null;
    });
    assert.equal((await click()).status, 404);
    assert.equal((await stack.call('POST',
      `/v1/dead-letters/${id}/discard?generation=0`)).status, 404);
    assert.equal((await stack.job(id)).version, job.version);
    assert.equal((await stack.call('POST',
      `/v1/dead-letters/${id}/replay?generation=x`)).status, 400);
    assert.equal((await stack.call('POST',
      `/v1/dead-letters/${id}/discard?generation=1`)).status, 204);
  });

  test('a later generation in Redis is not hidden by the row before it',
    async () => {
      const id = await stack.submit('mock-400');
      await stack.wait(id);
      for (const worker of stack.workers) await worker.stop();
      const replay = await stack.call('POST', `/v1/dead-letters/${id}/replay`);
      assert.equal(replay.status, 202, replay.text);
      const client = redisClient(stack.redis.socket);
      await client.command('HSET', `${P}job:${id}`, 't0', Date.now());
      client.close();
      const job = await until(() => stack.job(id));
      assert.equal(job.status, 'queued');
      assert.equal(job.generation, 1);
    });

  // Each replay writes down its deadline by the status API's clock.
  test('a replay by a clock that was set back lives as long as others',
    async () => {
      const clock = shim();
      await stack.status.stop();
      stack.status = await stack.start('longhaul-status', clock.env);
      await stack.startWorker();
      const id = await stack.submit('mock-400', { longhaul: { expires_in: 600 } });
      const replay = async (generation) => {
        const { status, text } = await stack.call('POST',
          `/v1/dead-letters/${id}/replay?generation=${generation - 1}`);
        assert.equal(status, 202, text);
        const job = await until(async () => {
          const now = await stack.job(id);
          return now.generation === generation && now.finished_at ? now : null;
        });
        assert.equal(job.status, 'failed', `of generation ${generation}`);
        return job;
      };
      await stack.wait(id);
      clock.set('clock_ms', -3_600_000);
      const back = await replay(1);
      assert.ok(Date.parse(back.expires_at) < Date.parse(back.created_at),
        'its deadline is before its beginning');
      await replay(2);
      clock.set('clock_ms', 0);
      await replay(3);
    });
});
