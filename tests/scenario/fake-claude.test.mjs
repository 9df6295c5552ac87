// The simulator, seen from outside: by plain requests and by the official
// SDK, which was written for the real API.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import Anthropic from '@anthropic-ai/sdk';

import { bin, sleep, startFakeClaude, startProcess, stopAll, tmpdir, until }
  from './lib/index.mjs';

// An event loop's timers count from the beginning of its turn.
const SLACK_MS = 10;

const PROMPT = 'Summarise this. The printer on floor three jams every day. ' +
  'We changed the toner. Since the paper was changed the printer jams.';

const body = (model, more = {}) => ({ model, max_tokens: 300,
  messages: [{ role: 'user', content: PROMPT }], ...more });

const post = (claude, request, { path = '/v1/messages', headers = {},
  signal } = {}) => fetch(claude.url + path, { method: 'POST', signal,
  headers: { 'x-api-key': 'test-key', 'anthropic-version': '2026-10-21',
    'content-type': 'application/json', ...headers },
  body: typeof request === 'string' ? request : JSON.stringify(request) });

const sdk = (claude, options = {}) => new Anthropic({ baseURL: claude.url,
  apiKey: 'test-key', maxRetries: 0, ...options });

after(stopAll);

describe('an answer', () => {
  let claude;
  before(async () => { claude = await startFakeClaude(); });

  test('is the same for the same request, and marked as simulated', async () => {
    const replies = await Promise.all([1, 2].map(() =>
      post(claude, body('claude-haiku-5-5'))));
    const [a, b] = await Promise.all(replies.map((r) => r.text()));
    assert.equal(replies[0].status, 200);
    assert.equal(replies[0].headers.get('x-fake-claude'), 'simulated');
    assert.match(replies[0].headers.get('request-id'), /^req_/);
    assert.notEqual(replies[0].headers.get('request-id'),
      replies[1].headers.get('request-id'));
    assert.equal(a, b);
    const message = JSON.parse(a);
    assert.equal(message.model, 'claude-haiku-5-5');
    assert.match(message.content[0].text, /printer/);
    assert.ok(message.usage.input_tokens > 20);
  });

  test('comes to both versions, both key headers and both paths', async () => {
    for (const version of ['2023-06-01', '2026-10-21']) {
      const headers = { 'anthropic-version': version };
      assert.equal((await post(claude, body('mock-ok'), { headers })).status, 200);
    }
    const bearer = await fetch(`${claude.url}/messages?beta=true`, {
      method: 'POST', body: JSON.stringify(body('mock-ok')),
      headers: { authorization: 'Bearer k', 'anthropic-version': '2023-06-01',
        'content-type': 'application/json' } });
    assert.equal(bearer.status, 200);
    assert.deepEqual(claude.ends().slice(-3).map((e) => [e.version, e.auth, e.path]),
      [['2023-06-01', 'x-api-key', '/v1/messages'],
        ['2026-10-21', 'x-api-key', '/v1/messages'],
        ['2023-06-01', 'bearer', '/messages']]);
  });

  test('is an error in the API\'s shape when the request is wrong', async () => {
    const sampled = body('claude-opus-4-6', { temperature: 0.5 });
    const cases = [
      [401, 'authentication_error', body('mock-ok'), { 'x-api-key': '' }],
      [400, 'invalid_request_error', body('mock-ok'), { 'anthropic-version': '' }],
      [400, 'invalid_request_error', body('mock-ok'),
        { 'anthropic-version': '2024-01-01' }],
      [400, 'invalid_request_error', body('mock-ok'), { 'anthropic-beta': 'nope' }],
      [404, 'not_found_error', body('claude-none'), {}],
      [400, 'invalid_request_error', body('mock-ok', { extra: 1 }), {}],
      [400, 'invalid_request_error', '{"model":', {}],
      [400, 'invalid_request_error', sampled, {}],
      [200, undefined, sampled, { 'anthropic-version': '2023-06-01' }],
    ];
    for (const [status, type, request, headers] of cases) {
      const reply = await post(claude, request, { headers });
      const json = await reply.json();
      assert.equal(reply.status, status, JSON.stringify(json));
      assert.equal(json.error?.type, type);
      if (type) assert.equal(json.request_id, reply.headers.get('request-id'));
    }
  });

  test('refuses a body above 32 MiB', async () => {
    const big = body('mock-ok');
    big.messages[0].content = 'x'.repeat(33 * 1024 * 1024);
    const reply = await post(claude, big).catch((error) => error);
    if (reply instanceof Error) return; // closed while we were still sending
    assert.equal(reply.status, 413);
    assert.equal((await reply.json()).error.type, 'request_too_large');
  });

  test('counts tokens and lists models', async () => {
    const client = sdk(claude);
    const { messages } = body('x');
    const counted = await client.messages.countTokens(
      { model: 'claude-haiku-5-5', messages });
    const sent = await client.messages.create(body('claude-haiku-5-5'));
    assert.equal(counted.input_tokens, sent.usage.input_tokens);
    const ids = [];
    for await (const model of client.models.list({ limit: 3 })) ids.push(model.id);
    const table = JSON.parse(readFileSync(
      new URL('../../schema/models.json', import.meta.url), 'utf8'));
    assert.deepEqual(ids, table.models.map((model) => model.id));
    assert.equal((await client.models.retrieve('claude-opus-4-5')).id,
      'claude-opus-4-5-20251101');
  });
});

describe('the official SDK', () => {
  let claude;
  before(async () => { claude = await startFakeClaude(); });

  test('gets a streamed message equal to the whole one', async () => {
    for (const model of ['claude-sonnet-5-5', 'mock-thinking', 'mock-refusal']) {
      const client = sdk(claude);
      const whole = await client.messages.create(body(model));
      const events = [];
      const stream = client.messages.stream(body(model));
      stream.on('streamEvent', (event) => events.push(event.type));
      const final = await stream.finalMessage();
      const text = (message) => message.content.map((b) => b.type);
      assert.deepEqual(text(final), text(whole));
      assert.equal(final.stop_reason, whole.stop_reason);
      assert.equal(events[0], 'message_start');
      assert.equal(events.at(-1), 'message_stop');
      assert.ok(final.usage.output_tokens >= 1);
    }
  });

  test('gets tool calls, also in pieces', async () => {
    const tools = [{ name: 'file_ticket', input_schema: { type: 'object',
      properties: { title: { type: 'string' } }, required: ['title'] } }];
    const request = body('mock-ok', { tools, tool_choice: { type: 'any' } });
    const stream = sdk(claude).messages.stream(request);
    const message = await stream.finalMessage();
    assert.equal(message.stop_reason, 'tool_use');
    assert.equal(message.content[0].name, 'file_ticket');
    assert.equal(typeof message.content[0].input.title, 'string');
  });

  test('retries what the cards let fail twice', async () => {
    const client = sdk(claude, { maxRetries: 2 });
    for (const model of ['mock-529-twice', 'mock-500-twice']) {
      await claude.reset();
      await client.messages.create(body(model));
      const { outcomes } = await claude.stats();
      assert.deepEqual(outcomes, { [model.slice(5, 8)]: 2, ok: 1 });
    }
  });

  test('raises the error of each failing card', async () => {
    for (const status of [400, 401, 402, 403, 404, 413]) {
      await assert.rejects(sdk(claude).messages.create(body(`mock-${status}`)),
        { status });
    }
    await assert.rejects(sdk(claude).messages.create(body('mock-spend-cap')),
      (error) => error.status === 429 && !error.headers.get('retry-after') &&
        error.error.error.details.error_code === 'enforced_spend_limit_reached');
    await assert.rejects(
      sdk(claude).messages.create(body('mock-spend-limit-own')), { status: 400 });
    const stream = sdk(claude).messages.stream(body('mock-sse-error'));
    await assert.rejects(stream.finalMessage(), /[Oo]verloaded/);
  });
});

describe('trouble', () => {
  let claude;
  before(async () => { claude = await startFakeClaude(); });

  test('is counted per job when the job is named', async () => {
    const call = (job) => post(claude, body('mock-529-twice'),
      { headers: { 'x-longhaul-job': job } }).then((r) => r.status);
    const seen = [];
    for (const job of ['a', 'a', 'b', 'a', 'b', 'b']) seen.push(await call(job));
    assert.deepEqual(seen, [529, 529, 529, 200, 529, 200]);
  });

  test('names how long to wait, once', async () => {
    const first = await post(claude, body('mock-429-retry-after-5'));
    assert.equal(first.status, 429);
    assert.equal(first.headers.get('retry-after'), '5');
    assert.equal((await post(claude, body('mock-429-retry-after-5'))).status, 200);
  });

  test('cuts the connection inside the body', async () => {
    for (const stream of [false, true]) {
      const reply = await post(claude, body('mock-cut', { stream }));
      assert.equal(reply.status, 200);
      await assert.rejects(reply.text());
    }
    assert.equal((await claude.stats()).outcomes.cut, 2);
    const once = body('mock-cut-once');
    await assert.rejects((await post(claude, once)).text());
    assert.ok((await (await post(claude, once)).json()).id);
  });

  test('sends what is no message', async () => {
    const garbage = body('mock-garbage');
    assert.match(await (await post(claude, garbage)).text(), /<html>/);
    const half = await (await post(claude, garbage)).text();
    assert.throws(() => JSON.parse(half));
    const empty = await post(claude, body('mock-empty'));
    assert.equal(empty.status, 200);
    assert.equal(await empty.text(), '');
  });

  test('is slow, drips or hangs, and sees the client leave', async () => {
    const begun = Date.now();
    assert.equal((await post(claude, body('mock-slow-300ms'))).status, 200);
    assert.ok(Date.now() - begun >= 300 - SLACK_MS);
    for (const model of ['mock-hang', 'mock-drip', 'mock-slow-30s', 'mock-endless']) {
      await claude.reset();
      const leave = new AbortController();
      const reply = post(claude, body(model), { signal: leave.signal })
        .then((r) => r.text());
      await until(async () => (await claude.stats()).in_flight === 1,
        { what: `${model} in flight` });
      leave.abort();
      await assert.rejects(reply);
      await until(async () => (await claude.stats()).outcomes.client_gone === 1,
        { what: `${model} client_gone` });
      assert.equal((await claude.stats()).in_flight, 0);
    }
  });

  test('strikes about the announced share of calls', async () => {
    await claude.reset();
    const calls = Array.from({ length: 400 }, (_, i) => post(claude,
      body('mock-flaky-10pct'), { headers: { 'x-longhaul-job': `j${i}` } })
      .then(async (r) => { await r.text(); return r.status; }));
    const failed = (await Promise.all(calls)).filter((s) => s !== 200).length;
    assert.ok(failed > 15 && failed < 75, `${failed} of 400`);
  });

  test('is switched on and off at run time', async () => {
    await claude.mode({ outage: true, status: 503, retry_after: 7 });
    const reply = await post(claude, body('mock-ok'));
    assert.equal(reply.status, 503);
    assert.equal(reply.headers.get('retry-after'), '7');
    await claude.mode({ outage: false, latency_ms: 200 });
    const begun = Date.now();
    assert.equal((await post(claude, body('mock-ok'))).status, 200);
    assert.ok(Date.now() - begun >= 200 - SLACK_MS);
    await assert.rejects(claude.mode({ outrage: true }), /400/);
    await claude.reset();
    assert.equal((await claude.stats()).calls, 0);
  });
});

describe('limits', () => {
  test('are per model bucket, told in headers and with retry-after', async () => {
    const claude = await startFakeClaude(
      { args: ['--rpm', '60', '--burst-s', '3', '--itpm', '100000'] });
    const replies = [];
    for (let i = 0; i < 4; i++) {
      replies.push(await post(claude, body('claude-haiku-5-5')));
    }
    assert.deepEqual(replies.map((r) => r.status), [200, 200, 200, 429]);
    const refused = replies[3];
    assert.equal(refused.headers.get('retry-after'), '1');
    assert.equal(refused.headers.get('anthropic-ratelimit-requests-limit'), '60');
    assert.equal(refused.headers.get('anthropic-ratelimit-requests-remaining'), '0');
    assert.ok(Date.parse(refused.headers.get('anthropic-ratelimit-requests-reset')) >
      Date.now());
    assert.equal((await refused.json()).error.type, 'rate_limit_error');
    assert.equal((await post(claude, body('claude-opus-5'))).status, 200);
    await sleep(1000);
    assert.equal((await post(claude, body('claude-haiku-5-5'))).status, 200);
    await claude.mode({ limits: { rpm: 0 } });
    for (let i = 0; i < 5; i++) {
      assert.equal((await post(claude, body('claude-haiku-5-5'))).status, 200);
    }
    assert.equal((await claude.stats()).outcomes['429'], 1);
  });

  test('do not count cache reads as input', async () => {
    const claude = await startFakeClaude({ args: ['--itpm', '4000'] });
    const marked = (question) => body('claude-haiku-5-5', {
      system: [{ type: 'text', text: 'You are kind to tickets. '.repeat(400),
        cache_control: { type: 'ephemeral' } }],
      messages: [{ role: 'user', content: question }] });
    const usage = [];
    for (let i = 0; i < 5; i++) {
      const reply = await post(claude, marked(`What is ticket ${i}?`));
      assert.equal(reply.status, 200);
      usage.push((await reply.json()).usage);
    }
    assert.ok(usage[0].cache_creation_input_tokens > 2000);
    assert.equal(usage[0].cache_read_input_tokens, 0);
    for (const later of usage.slice(1)) {
      assert.equal(later.cache_read_input_tokens, usage[0].cache_creation_input_tokens);
      assert.equal(later.cache_creation_input_tokens, 0);
    }
    const other = marked('What now?');
    other.system[0].text += '!';
    assert.equal((await post(claude, other)).status, 429);
  });

  test('a parallel request pays the write until the first answer begins', async () => {
    const claude = await startFakeClaude({ args: ['--ttft-ms', '300'] });
    const request = body('claude-haiku-5-5', { cache_control: { type: 'ephemeral' } });
    request.messages[0].content = PROMPT.repeat(40);
    const usage = await Promise.all([1, 2].map(() =>
      post(claude, request).then((r) => r.json()).then((m) => m.usage)));
    const written = usage.map((u) => u.cache_creation_input_tokens);
    assert.ok(written[0] > 512);
    assert.equal(written[0], written[1]);
    const third = (await (await post(claude, request)).json()).usage;
    assert.equal(third.cache_read_input_tokens, written[0]);
  });
});

describe('the witness', () => {
  test('writes a begin and an end line, and records the bytes', async () => {
    const record = join(tmpdir(), 'record');
    const claude = await startFakeClaude({ args: ['--record', record] });
    const text = '{ "max_tokens" : 5,\n"model":"mock-slow-50ms", "messages":' +
      '[{"role":"user","content":"caf\\u00e9 secret-prompt"}]}';
    const answer = await (await post(claude, text, { headers: {
      'x-longhaul-job': 'job_1', 'anthropic-beta': 'files-api-2025-04-14',
      'x-api-key': 'secret-key' } })).text();
    const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
    const [begin, end] = claude.ledger();
    const expected = { call: 1, job: 'job_1', path: '/v1/messages',
      model: 'mock-slow-50ms', version: '2026-10-21', beta: 'files-api-2025-04-14',
      auth: 'x-api-key', stream: false, bytes: Buffer.byteLength(text),
      sha256: sha256(text) };
    const { t_ms: t1, ...first } = begin;
    const { t_ms: t2, ...second } = end;
    assert.deepEqual(first, { call: 1, event: 'begin', ...expected });
    assert.ok(t2 >= t1 + 50 - SLACK_MS);
    assert.deepEqual(second, { call: 1, event: 'end', ...expected, status: 200,
      outcome: 'ok', input_tokens: second.input_tokens, output_tokens: 5,
      cache_read: 0, cache_write: 0, cache_write_1h: 0,
      answer_sha256: sha256(answer),
      text_sha256: sha256(JSON.parse(answer).content[0].text) });
    const raw = readFileSync(claude.ledgerPath, 'utf8');
    assert.doesNotMatch(raw, /secret/);
    const [file] = readdirSync(record);
    const [head, sent] = readFileSync(join(record, file), 'utf8').split('\r\n\r\n');
    assert.equal(sent, text);
    assert.match(head, /^POST \/v1\/messages HTTP\/1\.1\r\n/);
    assert.match(head, /x-api-key: \*\*\*/);
    assert.doesNotMatch(head, /secret-key/);
  });

  test('tells the calls that a stopped simulator never answered', async () => {
    const claude = await startFakeClaude();
    const reply = post(claude, body('mock-hang')).catch((error) => error);
    await until(() => claude.ledger().length === 1, { what: 'the begin line' });
    assert.deepEqual(await claude.stop(), { code: 0, signal: null });
    assert.ok((await reply) instanceof Error);
    assert.equal(claude.ends()[0].outcome, 'stopped');
  });
});

describe('the program', () => {
  test('paces a stream by its latency model', async () => {
    const claude = await startFakeClaude(
      { args: ['--ttft-ms', '100', '--tokens-per-s', '50', '--seed', '3'] });
    const begun = Date.now();
    const reply = await post(claude, body('mock-ok', { stream: true }));
    assert.ok(Date.now() - begun >= 100 - SLACK_MS);
    let pieces = 0;
    for await (const piece of reply.body) pieces += piece.length > 0 ? 1 : 0;
    assert.ok(pieces >= 3, `${pieces} pieces`);
    assert.ok(Date.now() - begun >= 250);
  });

  test('leaves out the mark when it is told to', async () => {
    const marked = await post(await startFakeClaude(), body('mock-ok'));
    assert.equal(marked.headers.get('x-fake-claude'), 'simulated');
    const claude = await startFakeClaude({ args: ['--unmarked'] });
    const reply = await post(claude, body('mock-ok'));
    assert.equal(reply.headers.get('x-fake-claude'), null);
  });

  test('answers without parsing in its fast mode', async () => {
    const claude = await startFakeClaude({ args: ['--fast'] });
    const message = await sdk(claude).messages.create(body('claude-haiku-5-5'));
    assert.equal(message.model, 'claude-haiku-5-5');
    const streamed = await sdk(claude).messages.stream(body('mock-ok')).finalMessage();
    assert.equal(streamed.content[0].text, message.content[0].text);
  });

  test('holds a thousand slow calls at once', async () => {
    const claude = await startFakeClaude({ args: ['--ttft-ms', '1500'] });
    const port = Number(new URL(claude.url).port);
    const text = JSON.stringify(body('mock-ok'));
    const request = 'POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n' +
      'x-api-key: k\r\nanthropic-version: 2026-10-21\r\nConnection: close\r\n' +
      `Content-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
    const one = () => new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => socket.write(request));
      let reply = '';
      socket.on('data', (data) => { reply += data; });
      socket.on('end', () => resolve(reply));
      socket.on('error', reject);
    });
    const replies = await Promise.all(Array.from({ length: 1000 }, one));
    assert.ok(replies.every((reply) => reply.startsWith('HTTP/1.1 200')));
    const { peak_in_flight: peak, outcomes } = await claude.stats();
    assert.equal(outcomes.ok, 1000);
    assert.ok(peak > 900, `${peak} at once`);
  });

  test('keeps its control routes to itself unless asked', async () => {
    const program = await startProcess(bin('fake-claude'),
      { waitFor: /listening (http:\S+)/ });
    assert.equal((await fetch(`${program.match[1]}/_fake/stats`)).status, 404);
    assert.equal((await fetch(`${program.match[1]}/livez`)).status, 200);
    assert.equal((await fetch(`${program.match[1]}/api/hello`,
      { method: 'HEAD' })).status, 200);
    assert.deepEqual(await program.stop(), { code: 0, signal: null });
  });

  test('explains itself and refuses what it does not know', async () => {
    const help = await startProcess(bin('fake-claude'), { args: ['--help'] });
    assert.equal((await help.exited).code, 0);
    assert.match(help.stdout(), /mock-flaky-<n>pct/);
    const wrong = await startProcess(bin('fake-claude'), { args: ['--rpn', '5'] });
    assert.equal((await wrong.exited).code, 2);
    assert.match(wrong.stderr(), /unknown option: --rpn/);
  });
});
