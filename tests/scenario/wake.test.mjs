// A worker that found its queue empty hears of new work. The notice and the
// answer of the claim that found nothing travel on two sockets, so the notice
// may be read first: it must count all the same.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { redisClient } from './lib/redis-client.mjs';
import { bin, sleep, startFakeClaude, startProcess, startRedis, stopAll, tmpdir, until }
  from './lib/index.mjs';

const P = 'lh:{0}:';
const JOBS = 400;

after(stopAll);

test('no job waits although a worker has nothing to do', async () => {
  const redis = await startRedis();
  const claude = await startFakeClaude({ args: ['--fast'] });
  const env = { LONGHAUL_REDIS_URL: redis.url,
    LONGHAUL_STORE_URL: `sqlite:${join(tmpdir(), 'results.db')}`,
    LONGHAUL_SUBMITTER_LISTEN: '127.0.0.1:0', ANTHROPIC_BASE_URL: claude.url,
    LONGHAUL_SIMULATED: 'true' };
  const start = (name) => startProcess(bin(name), { env,
    waitFor: /^ready (http:\S+)$/m });
  await start('longhaul-worker');
  const url = (await start('longhaul-submitter')).match[1];
  await until(async () => (await fetch(`${url}/readyz`)).ok);
  const db = redisClient(redis.socket);
  const body = JSON.stringify({ model: 'mock-ok', max_tokens: 10,
    messages: [{ role: 'user', content: 'Hello' }] });
  // A few milliseconds apart: many find the worker just asking.
  for (let i = 0; i < JOBS; i++) {
    const answer = await fetch(`${url}/v1/jobs`, { method: 'POST', body,
      headers: { 'content-type': 'application/json' } });
    assert.equal(answer.status, 202);
    await answer.text();
    await sleep(i % 7);
  }
  await until(async () => Number(await db.command('ZCARD', `${P}ids`)) === 0,
    { timeoutMs: 5000, what: 'the end of all jobs' });
  db.close();
});
