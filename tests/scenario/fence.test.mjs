// What a worker must not do: speak for jobs that it lost without knowing it,
// or start more than was granted.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, describe, test } from 'node:test';
import { startProxy, startStack, stopAll, until } from './lib/index.mjs';

describe('a worker that was cut off from Redis', () => {
  after(stopAll);

  test('does not let its failure win over the new owner\'s answer',
    async (t) => {
      const stack = await startStack();
      await stack.workers[0].stop();
      const waiting = [];
      t.after(() => {
        upstream.close();
        for (const socket of waiting) socket.destroy();
      });
      const upstream = createServer((req) => { waiting.push(req.socket); });
      await new Promise((resolve) => {
        upstream.listen(0, '127.0.0.1', resolve);
      });
      const proxy = await startProxy(stack.redis.socket);
      await stack.startWorker({ LONGHAUL_REDIS_URL: proxy.url,
        ANTHROPIC_BASE_URL: `http://127.0.0.1:${upstream.address().port}` });
      const id = await stack.submit('mock-slow-3s',
        { longhaul: { max_attempts: 1 } });
      await until(() => waiting.length === 1, { what: 'the first call' });
      proxy.block(true);
      await stack.startWorker();
      await until(() => stack.claude.ledger().some((l) => l.job === id),
        { what: 'the takeover', timeoutMs: 25_000 });
      waiting[0].destroy(); // the last attempt of the first owner has failed
      const job = await stack.wait(id);
      assert.equal(job.status, 'succeeded');
      proxy.block(false);
      await until(() => /"not_owner"/.test(stack.workers[1].stderr()),
        { what: 'the first owner learns it' });
      assert.equal((await stack.job(id)).status, 'succeeded');
      proxy.close();
    });
});

describe('a limit of requests', () => {
  after(stopAll);

  test('is one for all lanes of a model', async () => {
    const stack = await startStack({ workers: 0 });
    await stack.startWorker({ LONGHAUL_LIMIT_RPM: '600' });
    await stack.submit('mock-ok').then((id) => stack.wait(id));
    await stack.workers[0].stop();
    const ids = [];
    for (const lane of ['interactive', 'standard', 'bulk']) {
      for (let i = 0; i < 12; i++) {
        ids.push(await stack.submit('mock-ok', { longhaul: { lane } }));
      }
    }
    await stack.startWorker({ LONGHAUL_LIMIT_RPM: '600' });
    await stack.waitAll(ids, 20_000);
    const times = stack.claude.ends().filter((l) => ids.includes(l.job))
      .map((l) => l.t_ms).sort((a, b) => a - b);
    const first = times.filter((t) => t < times[0] + 500).length;
    assert.ok(first <= 16, `${first} calls in the first half second`);
  });
});
