// Claude down, overloaded, full, silent, or failing for one job alone: what
// that costs in calls and attempts, and how it is gone when it is over.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, describe, test } from 'node:test';
import { sleep, startStack, stopAll, until } from './lib/index.mjs';

const FAST = { LONGHAUL_RETRY_BASE: '50ms', LONGHAUL_RETRY_CAP: '500ms' };

after(stopAll);

const submitMany = (stack, count, model, more) => Promise.all(
  Array.from({ length: count }, () => stack.submit(model, more)));
const opened = (stack) => stack.workers.some((worker) => worker.stderr()
  .split('\n').some((l) => l.includes('"hold_set"') && l.includes('"open"')));
const holdOf = async (stack, kind) => (await stack.call('GET', '/v1/pools'))
  .json.data.flatMap((pool) => pool.holds ?? []).find((h) => h.kind === kind);

describe('trouble of the upstream', { concurrency: true }, () => {
  test('an outage costs a tenth of a call a job and is over at once',
    async () => {
      const stack = await startStack({ workers: 2,
        fake: ['--rpm', '1800', '--burst-s', '1'],
        env: { LONGHAUL_LIMIT_RPM: '1800' } });
      const ids = await submitMany(stack, 900, 'claude-haiku-5-5');
      await until(() => stack.claude.ends().length > 100,
        { timeoutMs: 20_000, what: 'a hundred answers' });
      await stack.claude.mode({ outage: true, status: 500 });
      await until(() => opened(stack), { what: 'the breaker' });
      await sleep(10_000);
      await stack.claude.mode({ outage: false });
      const end = Date.now();
      const ok = () => stack.claude.ends()
        .filter((line) => line.t_ms > end && line.status === 200);
      // 30 s after the end the whole limit is used, or nothing is left.
      const jobs = await stack.waitAll(ids, 90_000);
      const ends = stack.claude.ends();
      assert.ok(jobs.every((job) => job.status === 'succeeded'));
      assert.ok(ends.length <= 1.1 * ids.length, `${ends.length} calls`);
      assert.ok(ok()[0].t_ms - end < 20_000, 'a probe came soon');
      const began = ok()[0].t_ms;
      const second = ok().filter((line) => line.t_ms < began + 1000).length;
      assert.ok(second <= 30, `${second} calls in the first second`);
    });

  test('an overload with a time holds every worker and takes no attempt',
    async () => {
      const stack = await startStack({ workers: 2, workerEnv: FAST });
      await stack.claude.mode({ outage: true, status: 529, retry_after: 7 });
      const ids = await submitMany(stack, 60, 'mock-ok');
      await until(() => holdOf(stack, 'overloaded'), { what: 'the hold' });
      await stack.claude.mode({ outage: false });
      const jobs = await stack.waitAll(ids, 40_000);
      assert.ok(jobs.every((job) => job.status === 'succeeded'));
      assert.ok(jobs.every((job) => job.attempts === 1), 'one attempt each');
      const times = stack.claude.ends().map((line) => line.t_ms);
      const late = times.filter((t) => t > times[0] + 3000
        && t < times[0] + 6900);
      assert.deepEqual(late, [], 'no call while it lasts');
    });

  test('a probe that hangs does not keep the others from probing', async () => {
    const stack = await startStack({ workers: 2, workerEnv: FAST });
    await stack.claude.mode({ outage: true, status: 503 });
    const hangs = await stack.submit('mock-hang',
      { longhaul: { max_attempts: 100 } });
    await until(() => opened(stack), { what: 'the breaker' });
    await stack.claude.mode({ outage: false });
    // It is the first in line: the first probe is this one.
    await until(async () => (await stack.claude.stats()).in_flight === 1,
      { timeoutMs: 20_000, what: 'the probe' });
    const began = Date.now();
    const ids = await submitMany(stack, 20, 'mock-ok');
    const jobs = await stack.waitAll(ids, 40_000);
    assert.ok(jobs.every((job) => job.status === 'succeeded'));
    assert.ok(Date.now() - began > 8_000, 'it was alone for a while');
    await stack.call('POST', `/v1/jobs/${hangs}/cancel`);
  });

  test('a long answer lifts the hold when it begins', async () => {
    const stack = await startStack({ workers: 2, workerEnv: { ...FAST,
      LONGHAUL_STREAM_ABOVE_TOKENS: '500' } });
    await stack.claude.mode({ outage: true, status: 503 });
    const ids = await submitMany(stack, 20, 'mock-stream', { max_tokens: 500 });
    await until(() => opened(stack), { what: 'the breaker' });
    await stack.claude.mode({ outage: false });
    await until(() => stack.workers.some((worker) => worker.stderr()
      .includes('"hold_lifted"')), { what: 'the end of the hold' });
    const stats = await stack.claude.stats();
    assert.ok(stack.claude.ends().every((line) => line.status !== 200),
      'no answer is complete');
    assert.ok(stats.in_flight > 0);
    const jobs = await stack.waitAll(ids, 40_000);
    assert.ok(jobs.every((job) => job.status === 'succeeded'));
  });

  test('jobs that always fail do not keep the breaker open', async () => {
    const stack = await startStack({ workers: 2, workerEnv: FAST });
    const poison = await submitMany(stack, 4, 'mock-500-always',
      { longhaul: { max_attempts: 100 } });
    await until(() => opened(stack), { what: 'the breaker' });
    const ids = await submitMany(stack, 30, 'mock-ok');
    const jobs = await stack.waitAll(ids, 60_000);
    assert.ok(jobs.every((job) => job.status === 'succeeded'));
    for (const id of poison) await stack.call('POST', `/v1/jobs/${id}/cancel`);
  });

  test('a rate limit of an hour holds its bucket and nothing else', async () => {
    const stack = await startStack({ workers: 2, workerEnv: FAST });
    const limited = await stack.submit('mock-429-retry-after-3600');
    await until(() => holdOf(stack, 'limited'), { what: 'the hold' });
    const waiting = await submitMany(stack, 20, 'mock-ok');
    const other = await submitMany(stack, 5, 'claude-haiku-5-5');
    const jobs = await stack.waitAll(other);
    assert.ok(jobs.every((job) => job.status === 'succeeded'));
    await sleep(1000);
    assert.equal(stack.claude.ends().length, 6);
    const hold = await holdOf(stack, 'limited');
    const left = Date.parse(hold.until) - Date.now();
    assert.ok(left > 3_500_000 && left <= 3_600_000, `${left} ms`);
    for (const id of [limited, ...waiting]) {
      const job = await stack.job(id);
      assert.equal(job.attempts, 0);
      assert.match(job.status_reason, /rate limited/);
    }
  });
});

/** A Claude of which some models are in trouble. */
async function partly(trouble) {
  const calls = [];
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (data) => { text += data; });
    request.on('end', () => {
      const { model } = JSON.parse(text);
      calls.push(model);
      const { status = 200, headers = {}, stop = 'end_turn' } =
        trouble[model] ?? {};
      response.writeHead(status,
        { 'content-type': 'application/json', ...headers });
      response.end(JSON.stringify(status === 200
        ? { id: 'msg_1', type: 'message', role: 'assistant', model,
          content: [{ type: 'text', text: 'Yes.' }], stop_reason: stop,
          stop_sequence: null, usage: { input_tokens: 9, output_tokens: 2 } }
        : { type: 'error', error: { type: status === 429
          ? 'rate_limit_error' : 'overloaded_error', message: 'No.' } }));
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stack = await startStack({ workers: 2, workerEnv: { ...FAST,
    ANTHROPIC_BASE_URL: `http://127.0.0.1:${server.address().port}` } });
  after(() => server.close());
  return { stack, calls };
}

const CHAIN = { fallback_models: ['claude-opus-4-8', 'claude-sonnet-5-5',
  'claude-haiku-5-5'] };

describe('fallback models', { concurrency: true }, () => {
  test('are asked in their order, those that are down are left out',
    async () => {
      const { stack, calls } = await partly({ 'claude-opus-5-5': { status: 529 },
        'claude-opus-4-8': { status: 529 },
        'claude-sonnet-5-5': { status: 529 } });
      const ids = await submitMany(stack, 40, 'claude-opus-5-5',
        { longhaul: CHAIN });
      const jobs = await stack.waitAll(ids, 40_000);
      for (const job of jobs) {
        assert.equal(job.status, 'succeeded');
        assert.equal(job.model, 'claude-haiku-5-5');
        assert.equal(job.model_requested, 'claude-opus-5-5');
      }
      const first = (model) => calls.indexOf(model);
      assert.ok(first('claude-opus-5-5') < first('claude-opus-4-8'));
      assert.ok(first('claude-opus-4-8') < first('claude-sonnet-5-5'));
      assert.ok(first('claude-sonnet-5-5') < first('claude-haiku-5-5'));
    });

  test('get around an overload that gives a time', async () => {
    const { stack } = await partly({ 'claude-opus-5-5':
      { status: 529, headers: { 'retry-after': '600' } } });
    await stack.submit('claude-opus-5-5');
    await until(() => holdOf(stack, 'overloaded'), { what: 'the hold' });
    const job = await stack.wait(await stack.submit('claude-opus-5-5',
      { longhaul: CHAIN }));
    assert.equal(job.model, 'claude-opus-4-8');
    const { status_reason: reason } = await stack.job(
      await stack.submit('claude-opus-5-5'));
    assert.match(reason, /overloaded/);
  });

  test('are not asked for a rate limit, unless that is wanted', async () => {
    const { stack } = await partly({ 'claude-opus-5-5':
      { status: 429, headers: { 'retry-after': '600' } } });
    const waits = await stack.submit('claude-opus-5-5', { longhaul: CHAIN });
    await until(() => holdOf(stack, 'limited'), { what: 'the hold' });
    const job = await stack.wait(await stack.submit('claude-opus-5-5',
      { longhaul: { ...CHAIN, fallback_on: ['rate_limit'] } }));
    assert.equal(job.status, 'succeeded');
    assert.equal(job.model, 'claude-opus-4-8');
    assert.ok(['queued', 'retrying'].includes((await stack.job(waits)).status));
  });

  test('are not asked after a refusal', async () => {
    const { stack, calls } = await partly(
      { 'claude-opus-5-5': { stop: 'refusal' } });
    const job = await stack.wait(await stack.submit('claude-opus-5-5',
      { longhaul: { ...CHAIN, fallback_on: ['rate_limit'] } }));
    assert.equal(job.status, 'succeeded');
    assert.equal(job.stop_reason, 'refusal');
    assert.equal(job.model, 'claude-opus-5-5');
    assert.deepEqual(calls, ['claude-opus-5-5']);
  });
});
