// The worker between a real Redis, the simulator and a real store: what each
// answer of Claude's comes to, and that nothing is sent or saved twice.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { parse } from './lib/csv.mjs';
import { redisClient } from './lib/redis-client.mjs';
import { sleep, startStack, stopAll, tmpdir, until } from './lib/index.mjs';

const P = 'lh:{0}:';
const sha256 = (text) => createHash('sha256').update(text).digest('hex');
const FAST = { LONGHAUL_RETRY_BASE: '20ms', LONGHAUL_RETRY_CAP: '200ms' };

/** Nothing of finished jobs is left in Redis but tombstones. */
async function assertDrained(stack) {
  const client = redisClient(stack.redis.socket);
  try {
    await until(async () => String(await client.command('GET', `${P}bytes`))
      === '0', { what: 'an empty queue' });
    const keys = (await client.command('KEYS', '*')).map(String);
    const left = keys.filter((key) =>
      /^lh:\{0\}:(job|body|parked|idem|abort):/.test(key));
    assert.deepEqual(left, []);
    for (const key of keys.filter((k) => k.startsWith(`${P}q:`))) {
      assert.equal(Number(await client.command('XLEN', key)), 0, key);
    }
    for (const key of ['ids', 'due', 'retry']) {
      assert.equal(Number(await client.command('ZCARD', P + key)), 0, key);
    }
  } finally {
    client.close();
  }
}

describe('what answers come to', () => {
  let stack;
  after(stopAll);

  test('the stack starts', async () => {
    stack = await startStack({ workerEnv: FAST });
  });

  test('an answer is the job\'s result, its usage that of the call', async () => {
    const id = await stack.submit('mock-ok', {
      text: 'The ship left on Monday. It arrived on Friday. Nobody was hurt.' });
    const job = await stack.wait(id);
    const result = await stack.result(id);
    const [call] = stack.claude.ends().filter((line) => line.job === id);
    assert.equal(job.status, 'succeeded');
    assert.equal(job.attempts, 1);
    assert.equal(job.stop_reason, 'end_turn');
    assert.equal(job.model, 'mock-ok');
    assert.equal(job.error, null);
    assert.equal(result.status, 200);
    assert.equal(result.json.type, 'message');
    assert.match(result.json.content[0].text, /\w/);
    assert.equal(job.usage.input_tokens, call.input_tokens);
    assert.equal(job.usage.output_tokens, call.output_tokens);
    assert.equal(result.json.usage.output_tokens, call.output_tokens);
  });

  // card, state, calls that the simulator saw, class of the last error
  const cards = [
    ['mock-529-twice', 'succeeded', 3],
    ['mock-500-twice', 'succeeded', 3],
    ['mock-cut-once', 'succeeded', 2],
    ['mock-garbage-once', 'succeeded', 2],
    ['mock-refusal', 'succeeded', 1],
    ['mock-max-tokens', 'succeeded', 1],
    ['mock-thinking', 'succeeded', 1],
    ['mock-400', 'failed', 1, 'bad_request'],
    ['mock-404', 'failed', 1, 'not_found'],
    ['mock-413', 'failed', 1, 'too_large'],
  ];
  for (const [card, state, calls, cause] of cards) {
    test(`${card} ends ${state} after ${calls} calls`, async () => {
      const id = await stack.submit(card);
      const job = await stack.wait(id);
      assert.equal(job.status, state, JSON.stringify(job));
      const seen = stack.claude.ends().filter((line) => line.job === id);
      assert.equal(seen.length, calls);
      if (cause) {
        assert.equal(job.error.class, cause);
        assert.equal(job.dead_letter, true);
        assert.equal((await stack.result(id)).status, 409);
      } else {
        assert.equal(job.error, null, 'what went wrong before is no result');
      }
    });
  }

  test('stop reasons that are not errors are shown', async () => {
    for (const [card, reason] of [['mock-refusal', 'refusal'],
      ['mock-max-tokens', 'max_tokens']]) {
      const job = await stack.wait(await stack.submit(card));
      assert.equal(job.stop_reason, reason);
    }
  });

  test('retries end after max_attempts, with the reason kept', async () => {
    const id = await stack.submit('mock-500-always',
      { longhaul: { max_attempts: 3 } });
    const job = await stack.wait(id);
    assert.equal(job.status, 'failed');
    assert.equal(job.attempts, 3);
    assert.equal(job.error.status, 500);
    assert.equal(job.error.type, 'api_error');
    assert.match(job.error.request_id, /^req_/);
    assert.equal(stack.claude.ends().filter((l) => l.job === id).length, 3);
  });

  test('retry-after is obeyed to the second', async () => {
    const id = await stack.submit('mock-429-retry-after-2');
    const job = await stack.wait(id);
    const [first, second] = stack.claude.ends().filter((l) => l.job === id);
    assert.equal(job.status, 'succeeded');
    assert.ok(second.t_ms - first.t_ms >= 1990, `${second.t_ms - first.t_ms}`);
    assert.ok(second.t_ms - first.t_ms < 6000);
  });

  test('a long answer is streamed and comes out as a Message', async () => {
    const id = await stack.submit('mock-ok', { max_tokens: 64_000,
      text: 'One sentence. Another one, a little longer. A third.' });
    const job = await stack.wait(id);
    const [call] = stack.claude.ends().filter((line) => line.job === id);
    const { json } = await stack.result(id);
    assert.equal(call.stream, true);
    assert.equal(json.type, 'message');
    assert.equal(json.stop_reason, 'end_turn');
    assert.equal(json.usage.output_tokens, call.output_tokens);
    assert.equal(job.usage.input_tokens, call.input_tokens);
    assert.match(json.content[0].text, /\w/);
  });

  test('a deadline ends a call that hangs', async () => {
    const id = await stack.submit('mock-hang', { longhaul: { expires_in: 1 } });
    const job = await stack.wait(id);
    assert.equal(job.status, 'expired');
    assert.ok(Date.parse(job.finished_at) - Date.parse(job.created_at) < 3000);
  });

  test('a cancel aborts the running call', async () => {
    const id = await stack.submit('mock-slow-30s');
    await until(() => stack.claude.ledger().some((l) => l.job === id));
    const began = Date.now();
    const answer = await stack.call('POST', `/v1/jobs/${id}/cancel`);
    assert.equal(answer.status, 202, answer.text);
    const job = await stack.wait(id);
    assert.equal(job.status, 'canceled');
    assert.ok(Date.now() - began < 3000);
    await until(() => stack.claude.ends().some(
      (l) => l.job === id && l.outcome === 'client_gone'));
  });

  test('the log tells how each job ended', async () => {
    const line = async (id) => {
      await stack.wait(id);
      const find = () => stack.workers[0].stderr().split('\n').find((text) =>
        text.includes('"job_finished"') && text.includes(id));
      return JSON.parse(await until(find));
    };
    const good = await line(await stack.submit('mock-ok'));
    assert.equal(good.status, 200);
    assert.equal(good.error_type, undefined);
    assert.ok(good.call_ms >= 0 && good.call_ms <= good.total_ms + 1);
    const bad = await line(await stack.submit('mock-400'));
    assert.equal(bad.status, 400);
    assert.equal(bad.class, 'bad_request');
    assert.equal(bad.error_type, 'invalid_request_error');
    assert.ok(bad.call_ms >= 0);
  });

  test('metrics tell of waiting, running and attempts', async () => {
    const read = async () => (await Promise.all(stack.workers.map(
      async (worker) => (await fetch(`${worker.url}/metrics`)).text())))
      .join('');
    const before = await read();
    await stack.wait(await stack.submit('mock-ok'));
    const text = await read();
    const sum = (from, name) => [...from.matchAll(new RegExp(
      `^longhaul_${name} (\\S+)$`, 'gm'))].reduce((all, m) => all + +m[1], 0);
    const more = (name) => sum(text, name) - sum(before, name);
    const lane = '\\{lane="standard"';
    assert.ok(more(`job_wait_seconds_count${lane}\\}`) >= 1);
    assert.ok(more(`job_run_seconds_count${lane}\\}`) >= 1);
    assert.ok(more(`job_attempts_total${lane},error_type="none"\\}`) >= 1);
    assert.ok(sum(text,
      `job_attempts_total${lane},error_type="api_error"\\}`) >= 1);
  });

  // Last: its many failures may open the breaker of all cards.
  test('an error inside a stream is retried like its status', async () => {
    const id = await stack.submit('mock-sse-error', { max_tokens: 64_000,
      longhaul: { expires_in: 2 } });
    const job = await stack.wait(id);
    assert.equal(job.status, 'expired');
    assert.equal(job.error.class, 'overloaded');
    assert.equal(job.error.type, 'overloaded_error');
  });

  test('nothing is left in Redis but tombstones and dead letters',
    () => assertDrained(stack));
});

describe('what is sent', () => {
  let stack;
  let record;
  after(stopAll);

  test('the stack starts with a recording simulator', async () => {
    record = tmpdir();
    stack = await startStack({ fake: ['--record', record] });
  });

  const recorded = (marker) => until(() => readdirSync(record)
    .map((name) => readFileSync(join(record, name), 'latin1'))
    .find((text) => text.includes(marker)), { what: `a request ${marker}` });
  const headersOf = (text) => Object.fromEntries(text
    .slice(0, text.indexOf('\r\n\r\n')).split('\r\n').slice(1)
    .map((line) => line.toLowerCase().split(/:\s*/, 2)));
  const bodyOf = (text) => text.slice(text.indexOf('\r\n\r\n') + 4);

  test('the client\'s bytes, without longhaul and stream', async () => {
    const head = '{ "model":"mock-ok","max_tokens" :9,"metadata":{"user_id":'
      + '"marker-a"},"temperature":0.7,';
    const tail = '"messages":[{"role":"user","content":"\\u0041 b \\ud83d\\ude00"'
      + '}] }\n';
    const answer = await stack.post(
      `${head}"stream":true,"longhaul":{"tags":["x"]},${tail}`);
    assert.equal(answer.status, 202, answer.text);
    assert.equal(bodyOf(await recorded('marker-a')), head + tail);
    const headers = headersOf(await recorded('marker-a'));
    assert.equal(headers['anthropic-version'], '2023-06-01');
    assert.equal(headers['content-type'], 'application/json');
    assert.equal(headers.accept, 'application/json');
    assert.match(headers['user-agent'], /^longhaul\/\d/);
    assert.ok('x-api-key' in headers);
    assert.ok(!('authorization' in headers));
    assert.ok(!('anthropic-beta' in headers));
    assert.ok(!('expect' in headers));
    assert.equal(headers['content-length'],
      String(Buffer.byteLength(head + tail)));
  });

  test('the version of the day without sampling fields', async () => {
    await stack.submit('mock-ok', { text: 'x', metadata: { user_id: 'marker-b' } });
    assert.equal(headersOf(await recorded('marker-b'))['anthropic-version'],
      '2026-10-21');
  });

  test('the client\'s own version and beta', async () => {
    const answer = await stack.post({ model: 'mock-ok', max_tokens: 5,
      metadata: { user_id: 'marker-c' },
      messages: [{ role: 'user', content: 'x' }] },
    { 'anthropic-version': '2023-06-01',
      'anthropic-beta': 'files-api-2025-04-14,context-1m-2025-08-07' });
    assert.equal(answer.status, 202, answer.text);
    const headers = headersOf(await recorded('marker-c'));
    assert.equal(headers['anthropic-version'], '2023-06-01');
    assert.equal(headers['anthropic-beta'],
      'files-api-2025-04-14,context-1m-2025-08-07');
  });

  test('the shorthand becomes a whole request', async () => {
    const answer = await stack.post(
      '{"message":"Say \\"hi\\" to marker-d","system":"Be kind.","model":"mock-ok"}');
    assert.equal(answer.status, 202, answer.text);
    assert.deepEqual(JSON.parse(bodyOf(await recorded('marker-d'))), {
      model: 'mock-ok', max_tokens: 1024, system: 'Be kind.',
      messages: [{ role: 'user', content: 'Say "hi" to marker-d' }] });
  });

  for (const [name, bytes] of [['200 KB', 200_000], ['4 MB', 4_000_000],
    ['31 MB', 31_000_000]]) {
    test(`a prompt of ${name} arrives byte for byte`, async () => {
      const unit = `Paragraph of ${name}: ships, ports and tides. \u00e9\u4e2d `;
      const text = unit.repeat(Math.ceil(bytes / Buffer.byteLength(unit)));
      const body = JSON.stringify({ model: 'mock-ok', max_tokens: 32,
        messages: [{ role: 'user', content: text }] });
      const answer = await stack.post(body);
      assert.equal(answer.status, 202, answer.text);
      const job = await stack.wait(answer.json.id, 60_000);
      assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
      const [call] = stack.claude.ends()
        .filter((line) => line.job === answer.json.id);
      assert.equal(call.bytes, Buffer.byteLength(body));
      assert.equal(call.sha256, sha256(body));
    });
  }

  test('what was altered at rest is reported and never sent', async () => {
    const worker = stack.workers[0];
    await worker.stop();
    const client = redisClient(stack.redis.socket);
    const altered = async (field, from, to) => {
      const id = await stack.submit('mock-ok', { text: 'unaltered words' });
      const stored =
        String(await client.command('HGET', `${P}job:${id}`, field));
      assert.match(stored, from);
      await client.command('HSET', `${P}job:${id}`, field,
        stored.replace(from, to));
      return id;
    };
    const ids = [await altered('req', /unaltered/, 'AAAAAAAAA'),
      await altered('req', /unaltered/, 'shorter'),
      await altered('meta', /"r":"1 \d+/, '"r":"1 100000'), // another body's
      await altered('meta', /"r":"1 /, '"r":"9 '),
      await altered('meta', /"r":"[^"]*",/, '')];
    client.close();
    await stack.startWorker();
    for (const [index, id] of ids.entries()) {
      const job = await stack.wait(id);
      assert.equal(job.status, 'failed', `${index}`);
      assert.equal(job.error.class, 'corrupt_request', `${index}`);
      assert.equal(stack.claude.ledger().filter((l) => l.job === id).length, 0);
    }
  });
});

describe('trouble upstream', () => {
  let stack;
  let keyFile;
  after(stopAll);

  const writeKey = (text) => {
    writeFileSync(`${keyFile}.new`, `${text}\n`, { mode: 0o600 });
    renameSync(`${keyFile}.new`, keyFile);
  };

  test('two workers start', async () => {
    keyFile = join(tmpdir(), 'key');
    writeKey('sk-ant-canary-7f3a-first');
    stack = await startStack({ workers: 2,
      workerEnv: { ...FAST, ANTHROPIC_API_KEY_FILE: keyFile } });
  });

  test('a revoked key pauses the pool; a new key file lifts it', async () => {
    await stack.claude.mode({ error_rate: 1, status: 401 });
    const ids = [];
    for (let i = 0; i < 60; i++) ids.push(await stack.submit('mock-ok'));
    await until(() => stack.workers.some((w) => /"kind":"paused"/
      .test(w.stderr())), { what: 'the pause' });
    await sleep(1000);
    const calls = stack.claude.ends().length;
    await sleep(1500);
    assert.equal(stack.claude.ends().length, calls, 'paused means paused');
    for (const id of ids.slice(0, 5)) {
      const job = await stack.job(id);
      assert.equal(job.attempts, 0);
      assert.match(job.status_reason, /paused|key/i);
    }
    await stack.claude.mode({ error_rate: 0 });
    writeKey('sk-ant-canary-7f3a-second');
    const jobs = await stack.waitAll(ids, 20_000);
    assert.ok(jobs.every((job) => job.status === 'succeeded'));
    const dead = await stack.call('GET', '/v1/dead-letters');
    assert.equal(dead.json.data.length, 0);
  });

  test('a request that Claude forbids does not stop the others', async () => {
    const [good] = await stack.waitAll([await stack.submit('mock-ok')]);
    assert.equal(good.status, 'succeeded');
    const id = await stack.submit('mock-403');
    const client = redisClient(stack.redis.socket);
    const refused = (n) => until(() => stack.claude.ends()
      .filter((line) => line.job === id).length === n);
    await refused(1);
    // What takes a minute each time: the calls after the first. It fails on a
    // worker that has had a success since.
    for (let call = 2; call <= 10; call++) {
      const jobs = await stack.waitAll(await Promise.all(Array.from(
        { length: 20 }, () => stack.submit('mock-ok'))), 10_000);
      assert.ok(jobs.every((job) => job.status === 'succeeded'));
      if ((await stack.job(id)).status === 'failed') break;
      const waiting = await stack.job(id);
      assert.equal(waiting.status, 'retrying');
      assert.equal(waiting.attempts, 0);
      await client.command('ZADD', `${P}retry`, 'XX', '1', id);
      await refused(call);
    }
    client.close();
    const job = await stack.wait(id, 5000);
    assert.equal(job.status, 'failed');
    assert.equal(job.error.type, 'permission_error');
  });

  test('requests that are all forbidden pause the pool', async () => {
    await stack.claude.mode({ error_rate: 1, status: 403 });
    const before = stack.claude.ends().length;
    const ids = [];
    for (let i = 0; i < 40; i++) ids.push(await stack.submit('mock-ok'));
    await until(() => stack.workers.some((w) => /"reason":"[^"]*permission/
      .test(w.stderr())), { what: 'the pause' });
    await sleep(1000);
    const calls = stack.claude.ends().length;
    assert.ok(calls - before < 40, `${calls - before} calls`);
    await stack.claude.mode({ error_rate: 0 });
    writeKey('sk-ant-canary-7f3a-third');
    const client = redisClient(stack.redis.socket);
    await until(async () => {
      for (const id of await client.command('ZRANGE', `${P}retry`, 0, -1)) {
        await client.command('ZADD', `${P}retry`, 'XX', '1', String(id));
      }
      const jobs = await Promise.all(ids.map((id) => stack.job(id)));
      return jobs.every((job) => job.status === 'succeeded');
    }, { timeoutMs: 20_000, what: 'the end of all' });
    client.close();
  });

  test('an outage opens the breaker for both workers; a probe closes it',
    async () => {
      await stack.claude.mode({ outage: true, status: 529 });
      const before = stack.claude.ends().length;
      const ids = [];
      for (let i = 0; i < 60; i++) ids.push(await stack.submit('mock-ok'));
      const opened = () => stack.workers.map((w) => {
        const line = w.stderr().split('\n')
          .find((l) => /"hold_set"/.test(l) && /"kind":"open"/.test(l));
        return line ? Date.parse(JSON.parse(line).time) : Infinity;
      }).reduce((a, b) => Math.min(a, b));
      await until(() => opened() < Infinity, { what: 'the breaker' });
      await sleep(3500);
      const late = stack.claude.ends().slice(before)
        .filter((line) => line.t_ms > opened() + 1000);
      assert.deepEqual(late, [], 'nothing more than a second after it opened');
      const openings = stack.workers.flatMap((w) => w.stderr().split('\n'))
        .filter((l) => /"hold_set"/.test(l) && /"kind":"open"/.test(l));
      for (const line of openings) {
        assert.ok(JSON.parse(line).for_ms <= 5000, 'one burst, one opening');
      }
      await stack.claude.mode({ outage: false });
      const jobs = await stack.waitAll(ids, 40_000);
      assert.ok(jobs.every((job) => job.status === 'succeeded'));
    });

  test('a fallback model answers while the first one\'s breaker is open',
    async () => {
      const ids = [];
      for (let i = 0; i < 30; i++) {
        ids.push(await stack.submit('mock-529-always', { longhaul:
          { fallback_models: ['claude-haiku-5-5'] } }));
      }
      const jobs = await stack.waitAll(ids, 40_000);
      for (const job of jobs) {
        assert.equal(job.status, 'succeeded');
        assert.equal(job.model, 'claude-haiku-5-5');
        assert.equal(job.model_requested, 'mock-529-always');
      }
    });
});

describe('workers that come and go', () => {
  after(stopAll);

  test('dead letters past their retention are gone everywhere', async () => {
    const stack = await startStack();
    const ids = [];
    for (let i = 0; i < 3; i++) ids.push(await stack.submit('mock-400'));
    await stack.waitAll(ids);
    const list = async (path) =>
      (await stack.call('GET', `/v1/dead-letters${path}`)).json.data.length;
    await until(async () => await list('') === 3);
    await stack.workers[0].stop();
    await sleep(1100);
    await stack.startWorker({ LONGHAUL_DEAD_LETTER_RETENTION: '1s' });
    await until(async () => await list('') === 0, { what: 'no letter' });
    assert.equal(await list('/groups'), 0);
    const one = await stack.call('GET', `/v1/dead-letters/${ids[0]}`);
    assert.equal(one.status, 404);
    await until(async () => !(await stack.job(ids[0])).dead_letter);
    assert.equal((await stack.job(ids[0])).status, 'failed');
    await stopAll();
  });

  test('a queue among two thousand is served as well', async () => {
    const stack = await startStack();
    await stack.workers[0].stop();
    const client = redisClient(stack.redis.socket);
    const names = Array.from({ length: 2000 },
      (_, i) => `bulk:opus-4>other-${i}`);
    await client.command('SADD', `${P}queues`, ...names);
    await stack.startWorker(); // knows nothing yet
    const ids = [];
    for (const lane of ['interactive', 'standard', 'bulk']) {
      ids.push(await stack.submit('mock-ok', { longhaul: { lane } }));
      ids.push(await stack.submit('claude-opus-5-5', { longhaul: { lane } }));
    }
    for (const job of await stack.waitAll(ids)) {
      assert.equal(job.status, 'succeeded');
    }
    client.close();
    await stopAll();
  });

  test('large requests wait until there is memory for them', async () => {
    const stack = await startStack({ workerEnv: {
      LONGHAUL_WORKER_MEMORY: '2500KiB' } });
    const small = [];
    const ids = [];
    for (let i = 0; i < 5; i++) {
      ids.push(await stack.submit('mock-slow-300ms',
        { text: 'x'.repeat(1 << 20) }));
    }
    ids.push(await stack.submit('mock-ok', { text: 'x'.repeat(3 << 20) }));
    for (let i = 0; i < 5; i++) small.push(await stack.submit('mock-ok'));
    await stack.waitAll([...ids, ...small], 30_000);
    let open = 0;
    let most = 0;
    for (const line of stack.claude.ledger()) {
      if (!ids.includes(line.job)) continue;
      open += line.event === 'begin' ? line.bytes : -line.bytes;
      most = Math.max(most, open);
      // one that is larger than all the room goes alone
      assert.ok(open < 2500 * 1024 || open === line.bytes, String(open));
    }
    assert.ok(most > 2 << 20, String(most));
    await stopAll();
  });

  test('two workers share real tickets and call once per job', async () => {
    const examples = (name) => readFileSync(
      new URL(`../../examples/${name}`, import.meta.url), 'utf8');
    const [header, ...rows] = parse(examples('tickets.csv'));
    const prompt = examples('summarise.md');
    const stack = await startStack({ workers: 2 });
    const ids = await Promise.all(rows.map((row) => stack.submit('mock-ok', {
      text: prompt.replace(/\{\{(\w+)\}\}/g,
        (_, name) => row[header.indexOf(name)]) })));
    const jobs = await stack.waitAll(ids, 30_000);
    assert.ok(jobs.every((job) => job.status === 'succeeded'));
    const calls = stack.claude.ends().map((line) => line.job);
    assert.equal(calls.length, rows.length);
    assert.deepEqual(new Set(calls), new Set(ids));
    await assertDrained(stack);
    await stopAll();
  });

  test('SIGTERM lets calls finish, hands the rest back and exits 0',
    async () => {
      const stack = await startStack({ workers: 1,
        workerEnv: { LONGHAUL_WORKER_CONCURRENCY: '4', LONGHAUL_GRACE: '4s' } });
      const quick = await stack.submit('mock-slow-1s');
      const slow = await stack.submit('mock-slow-6s');
      await until(() => [quick, slow].every(
        (id) => stack.claude.ledger().some((l) => l.job === id)));
      const exit = stack.workers[0].stop();
      assert.equal((await stack.wait(quick)).status, 'succeeded');
      assert.deepEqual(await exit, { code: 0, signal: null });
      const began = Date.now();
      await stack.startWorker();
      await until(() => stack.claude.ledger()
        .filter((l) => l.job === slow && l.event === 'begin').length === 2);
      assert.ok(Date.now() - began < 3000, 'handed back at once');
      const job = await stack.wait(slow, 20_000);
      assert.equal(job.status, 'succeeded');
      assert.equal(job.takeovers, 0);
      assert.equal(job.unknown_calls, 1, 'the call that was cut off');
      assert.equal(stack.claude.ends().filter((l) => l.job === quick).length, 1);
      await stopAll();
    });

  test('the jobs of a killed worker start again within 15 s', async () => {
    const stack = await startStack({ workers: 2 });
    const ids = await Promise.all(Array.from({ length: 8 },
      () => stack.submit('mock-slow-3s')));
    await until(() => ids.every(
      (id) => stack.claude.ledger().some((l) => l.job === id)));
    const killed = Date.now();
    await stack.workers[0].kill();
    const jobs = await stack.waitAll(ids, 40_000);
    assert.ok(jobs.every((job) => job.status === 'succeeded'));
    const again = stack.claude.ledger().filter((l) => l.event === 'begin'
      && l.t_ms > killed + 1000);
    for (const line of again) assert.ok(line.t_ms - killed < 15_000);
    assert.equal(jobs.filter((j) => j.unknown_calls === 1).length,
      again.length);
    assert.equal(jobs.filter((j) => j.takeovers === 1).length, again.length);
    assert.ok(again.length > 0);
    assert.ok(jobs.every((job) => job.attempts === 1));
    await assertDrained(stack);
  });
});
