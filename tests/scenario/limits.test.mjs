// Claude's rate limits against strict token buckets, with two workers: the
// simulator's ledger says what was asked of it, what it refused and what was
// used. How much of a limit is used is measured by `make bench BENCH=limits`;
// here the bounds are wide.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startStack, stopAll, tmpdir } from './lib/index.mjs';

const MODEL = 'claude-haiku-5-5';
const SENTENCE = 'The quick printer jams whenever the invoice is long. ';
const FAKE = ['--ttft-ms', '100', '--tokens-per-s', '200', '--jitter', '0.5'];

async function start(kind, perMin, burstS, env = {}) {
  return startStack({ workers: 2, env,
    fake: [...FAKE, `--${kind}`, String(perMin), '--burst-s', String(burstS)] });
}

const submitAll = (stack, jobs) => Promise.all(jobs.map((job, i) =>
  stack.submit(MODEL, { ...job, text: `${i}: ${job.text ?? SENTENCE}` })));

const succeeded = (jobs) => jobs.filter((job) => job.status === 'succeeded');

/** What our calls came to; the most of `amount` that was let in within any
 * `ms`, and how long the whole of it took. */
function witness(stack, amount, ms = 2000) {
  const ends = stack.claude.ends().filter((line) => line.job !== null);
  const good = ends.filter((line) => line.status === 200);
  let most = 0;
  for (const first of good) {
    most = Math.max(most, good.filter((line) => line.t_ms >= first.t_ms &&
      line.t_ms < first.t_ms + ms).reduce((sum, line) => sum + amount(line), 0));
  }
  return { calls: ends.length, good: good.length, most,
    refused: ends.filter((line) => line.status === 429).length,
    used: good.reduce((sum, line) => sum + amount(line), 0),
    seconds: (good.at(-1).t_ms - good[0].t_ms) / 1000 };
}

describe('admission', () => {
  after(stopAll);

  test('a route sends small jobs to another model, and says so', async () => {
    const conf = join(tmpdir(), 'longhaul.conf');
    writeFileSync(conf, '[route small]\nto = claude-haiku-5-5\n' +
      'from = sonnet-5-5\nmax_prompt_tokens = 500\ntags = cheap\n');
    const stack = await startStack({ env: { LONGHAUL_CONFIG: conf } });
    const submit = (text, tags) => stack.submit('claude-sonnet-5-5',
      { text, longhaul: { tags } });
    const ids = [await submit('Short.', ['cheap']), await submit('Short.', []),
      await submit(SENTENCE.repeat(100), ['cheap'])];
    const jobs = await stack.waitAll(ids);
    assert.deepEqual(jobs.map((job) => job.model), ['claude-haiku-5-5',
      'claude-sonnet-5-5', 'claude-sonnet-5-5']);
    assert.deepEqual(new Set(jobs.map((job) => job.model_requested)),
      new Set(['claude-sonnet-5-5']));
    const asked = Object.fromEntries(stack.claude.ends().map(
      (line) => [line.job, line.model]));
    assert.deepEqual(ids.map((id) => asked[id]), jobs.map((job) => job.model));
    const result = (await stack.result(ids[0])).json;
    assert.equal(result.model, 'claude-haiku-5-5');
    await stopAll();
  });

  test('a prompt that is certainly too long is refused at once', async () => {
    const stack = await startStack();
    const body = (model, text) => ({ model, max_tokens: 10,
      messages: [{ role: 'user', content: text }] });
    const long = 'so it is '.repeat(140_000); // at least 210,000 tokens
    const refused = await stack.post(body('claude-haiku-4-5', long));
    assert.equal(refused.status, 400);
    assert.equal(refused.json.error.type, 'invalid_request_error');
    assert.match(refused.json.error.message,
      /^The prompt is too long: it has at least 2\d{5} tokens, and claude-haiku-4-5 takes 200000\.$/);
    // More may fit into another model; and with a beta it is Claude's to say.
    assert.equal((await stack.post(body('claude-haiku-5-5', long))).status, 202);
    assert.equal((await stack.post(body('claude-haiku-4-5', long),
      { 'anthropic-beta': 'context-1m-2025-08-07' })).status, 202);
    const image = 'iVBORw0KGgoA'.repeat(400_000);
    assert.equal((await stack.post(body('claude-haiku-4-5', image))).status, 202);
    await stopAll();
  });
});

describe('rate limits', () => {
  let stack;
  after(stopAll);

  test('learnt from the first answer: 600 requests a minute are ten a second',
    async () => {
      stack = await start('rpm', 600, 1);
      const ids = await submitAll(stack, Array(80).fill({}));
      assert.equal(succeeded(await stack.waitAll(ids, 60_000)).length, 80);
      const seen = witness(stack, () => 1);
      assert.ok(seen.refused <= 3, `${seen.refused} of ${seen.calls} refused`);
      assert.ok(seen.most <= 33, `${seen.most} within two seconds`);
      assert.ok(seen.seconds > 5 && seen.seconds < 30, `${seen.seconds} s`);
      const reserved = await Promise.all(stack.workers.map(async (worker) => {
        const text = await (await fetch(`${worker.url}/metrics`)).text();
        const told = (name) => Number(new RegExp(`^longhaul_${name}` +
          '\\{pool="default",bucket="haiku-5-5"(?:,kind="requests")?\\} (\\S+)',
        'm').exec(text)?.[1]);
        const value = (name) => told(`quota_${name}`);
        const header = (name) => told(`upstream_ratelimit_${name}`);
        assert.equal(header('limit'), 600);
        assert.ok(header('remaining') >= 0 && header('remaining') < 600);
        const ago = Date.now() / 1000 - header('reset_timestamp_seconds');
        assert.ok(Math.abs(ago) < 60, `${ago} s`);
        assert.equal(value('per_minute'), 595); // 99 % of it
        assert.ok(value('brake') <= 1 && value('brake') > 0);
        return value('reserved_total') - value('refused_total');
      }));
      assert.equal(reserved[0] + reserved[1], 80);
      await stopAll();
    });

  test('configured input tokens: large and small prompts share them',
    async () => {
      stack = await start('itpm', 1_800_000, 2,
        { LONGHAUL_LIMIT_ITPM: '1800000' });
      const sizes = Array.from({ length: 36 }, (_, i) => 10 ** (2 + i % 6 / 2));
      const ids = await submitAll(stack, sizes.map((tokens) =>
        ({ text: SENTENCE.repeat(Math.ceil(tokens / 15)) })));
      assert.equal(succeeded(await stack.waitAll(ids, 60_000)).length, 36);
      const seen = witness(stack, (line) => line.input_tokens);
      assert.ok(seen.refused <= 3, `${seen.refused} of ${seen.calls} refused`);
      assert.ok(seen.used > 200_000, `${seen.used} tokens`);
      // Of 30,000 a second; what fits into the bucket does not wait.
      const least = (seen.used - 100_000) / 30_000;
      assert.ok(seen.seconds > least * 0.7 && seen.seconds < least * 3 + 5,
        `${seen.seconds} s for ${seen.used} tokens`);
      await stopAll();
    });

  test('output tokens: what answers are like is learnt', async () => {
    stack = await start('otpm', 60_000, 2);
    // Ten times what they will use.
    const ids = await submitAll(stack, Array(120).fill({ max_tokens: 1000,
      text: SENTENCE.repeat(20) }));
    assert.equal(succeeded(await stack.waitAll(ids, 60_000)).length, 120);
    const seen = witness(stack, (line) => line.output_tokens);
    assert.ok(seen.refused <= 4, `${seen.refused} of ${seen.calls} refused`);
    const least = seen.used / 1000 - 2; // what fits into the bucket
    assert.ok(seen.seconds > least * 0.6 && seen.seconds < least * 3 + 8,
      `${seen.seconds} s for ${seen.used} tokens`);
    await stopAll();
  });

  test('limits that fall while we run are followed', async () => {
    stack = await start('rpm', 1200, 2);
    const ids = await submitAll(stack, Array(120).fill({}));
    await sleep(2500);
    await stack.claude.mode({ limits: { rpm: 300 } });
    const fell = Date.now();
    assert.equal(succeeded(await stack.waitAll(ids, 90_000)).length, 120);
    const ends = stack.claude.ends();
    const late = ends.filter((line) => line.t_ms > fell);
    const refused = late.filter((line) => line.status === 429).length;
    assert.ok(late.length > 40, `${late.length} were left when they fell`);
    assert.ok(refused <= 6, `${refused} of ${late.length} refused`);
    await stopAll();
  });

  test('another client with the same key keeps its half', async () => {
    stack = await start('rpm', 600, 5);
    const ids = await submitAll(stack, Array(90).fill({}));
    const theirs = [];
    for (let i = 0; i < 60; i++) {
      theirs.push(fetch(`${stack.claude.url}/v1/messages`, { method: 'POST',
        headers: { 'content-type': 'application/json',
          'x-api-key': 'sk-ant-another', 'anthropic-version': '2026-10-21' },
        body: JSON.stringify({ model: MODEL, max_tokens: 10,
          messages: [{ role: 'user', content: `Theirs ${i}` }] }) })
        .then((answer) => answer.status));
      await sleep(200);
    }
    assert.equal(succeeded(await stack.waitAll(ids, 90_000)).length, 90);
    const seen = witness(stack, () => 1);
    const sent = await Promise.all(theirs);
    assert.ok(seen.refused <= 6, `${seen.refused} of ${seen.calls} refused`);
    const lost = sent.filter((status) => status === 429).length;
    assert.ok(lost <= 20, `${lost} of ${sent.length} of theirs refused`);
    await stopAll();
  });
});
