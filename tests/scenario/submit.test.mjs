// longhaul-submitter against a real Redis: what it takes, what it refuses
// and how, and what is stored.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { bin, sleep, startProcess, startRedis, stopAll, tmpdir, until }
  from './lib/index.mjs';
import { redisClient } from './lib/redis-client.mjs';

const P = 'lh:{0}:';
const MARKER = '0199f6a2-5c1e-7abc-9def-0123456789ab real';
const MIB = 1024 * 1024;
const CANARY = 'canary-7f3a-prompt';

const message = (text = 'Say hello.') => ({
  model: 'claude-opus-5-5', max_tokens: 100,
  messages: [{ role: 'user', content: text }],
});

async function startSubmitter(redis, { env = {}, args = [], ready = true } = {}) {
  const dir = tmpdir();
  const program = await startProcess(bin('longhaul-submitter'), {
    args: ['--submitter-listen', '127.0.0.1:0', ...args],
    env: { LONGHAUL_REDIS_URL: redis.url,
      LONGHAUL_STORE_URL: `sqlite:${join(dir, 'results.db')}`,
      LONGHAUL_LOG: 'debug', ...env },
    cwd: dir,
    waitFor: /^ready (http:\/\/127\.0\.0\.1:(\d+))$/m,
  });
  Object.assign(program, { url: program.match[1], port: Number(program.match[2]),
    dir });
  if (ready) await isReady(program);
  return program;
}

const isReady = (program) => until(async () =>
  (await fetch(`${program.url}/readyz`)).status === 200, { what: 'readiness' });

async function post(program, body, headers = {}) {
  const answer = await fetch(`${program.url}/v1/jobs`, { method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' || Buffer.isBuffer(body) || body === null
      ? body : JSON.stringify(body),
    duplex: 'half' });
  const text = await answer.text();
  let json;
  try { json = JSON.parse(text); } catch { json = null; }
  return { status: answer.status, headers: answer.headers, json, text };
}

function refused(answer, status, type, pattern) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json.type, 'error');
  assert.equal(answer.json.error.type, type);
  assert.match(answer.json.error.message, pattern);
  assert.match(answer.json.request_id, /^req_/);
  assert.doesNotMatch(answer.text, new RegExp(CANARY));
}

/** Sends bytes and returns everything until the server closes, or until it
 * has said nothing for `idleMs`. */
function raw(program, text, idleMs = 500) {
  return new Promise((resolve, reject) => {
    const socket = connect(program.port, '127.0.0.1');
    let got = '';
    let timer;
    const done = () => { socket.destroy(); resolve(got); };
    const wait = () => { clearTimeout(timer); timer = setTimeout(done, idleMs); };
    socket.on('data', (data) => { got += data; wait(); });
    socket.on('close', () => { clearTimeout(timer); resolve(got); });
    socket.on('error', (error) => { clearTimeout(timer); reject(error); });
    socket.write(text);
    wait();
  });
}

const rssBytes = async (program) => {
  const text = await (await fetch(`${program.url}/metrics`)).text();
  return Number(/^process_resident_memory_bytes (\S+)$/m.exec(text)[1]);
};

/** A job of which only the beginning was sent; finish() sends the rest. */
function beginPost(submitter, headers = '') {
  const body = JSON.stringify(message('slow'));
  const socket = connect(submitter.port, '127.0.0.1');
  let got = '';
  socket.on('data', (data) => { got += data; });
  socket.write('POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n'
    + `Content-Type: application/json\r\n${headers}`
    + `Content-Length: ${body.length}\r\n\r\n${body.slice(0, 20)}`);
  return { got: () => got, finish: () => socket.write(body.slice(20)) };
}

describe('submit', () => {
  let redis;
  let client;
  let submitter;

  const job = (id, field) => client.command('HGET', `${P}job:${id}`, field);

  before(async () => {
    redis = await startRedis();
    client = redisClient(redis.socket);
    await client.command('SET', `${P}install`, MARKER);
    submitter = await startSubmitter(redis);
  });
  after(async () => {
    client.close();
    await stopAll();
  });

  test('answers 202 with the job, where it is and when to ask', async () => {
    const began = performance.now();
    const answer = await post(submitter, { ...message(),
      longhaul: { lane: 'bulk', tags: ['a', 'b'] } });
    const took = Math.ceil(performance.now() - began) + 1; // of whole ms
    assert.equal(answer.status, 202, answer.text);
    const { json, headers } = answer;
    assert.match(json.id,
      /^job_[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(json.object, 'job');
    assert.equal(json.status, 'queued');
    assert.equal(json.lane, 'bulk');
    assert.equal(json.model, 'claude-opus-5-5');
    assert.deepEqual(json.tags, ['a', 'b']);
    assert.equal(json.version, 1);
    assert.equal(json.simulated, false);
    assert.equal(headers.get('location'), `${submitter.url}/v1/jobs/${json.id}`);
    assert.equal(json.links.self, headers.get('location'));
    assert.equal(headers.get('etag'), '"v1"');
    assert.match(headers.get('retry-after'), /^[1-9][0-9]?$/);
    assert.equal(headers.get('idempotent-replayed'), null);
    /* counted from the acceptance; created_at is when its first bytes came */
    const lives = Date.parse(json.expires_at) - Date.parse(json.created_at);
    assert.ok(lives >= 7 * 86400_000 && lives <= 7 * 86400_000 + took, lives);
    assert.equal(String(await job(json.id, 'st')), 'queued');
  });

  test('stores the bytes as they came, also what it does not know', async () => {
    const body = '{ "future":{"x":[1e400,-0.0]},"max_tokens" :9,'
      + '"temperature":0.7,"big":123456789012345678901234567890,'
      + '"messages":[{"role":"user","content":"\\u00e9 \u00e9 \\ud83d\\ude00"}],'
      + '"stream":true, "longhaul":{"lane":"interactive"}  }';
    const { json, status, text } = await post(submitter, body);
    assert.equal(status, 202, text);
    assert.equal(String(await job(json.id, 'req')), body);
    const meta = JSON.parse(await job(json.id, 'meta'));
    assert.equal(meta.h, createHash('sha256').update(body).digest('hex'));
    assert.equal(json.model, 'claude-sonnet-5-5');
    assert.equal(json.lane, 'interactive');
  });

  test('takes the shorthand', async () => {
    const { json, status, text } = await post(submitter,
      { message: 'Summarise this.', system: 'Be brief.' });
    assert.equal(status, 202, text);
    assert.equal(json.model, 'claude-sonnet-5-5');
  });

  test('keeps version and beta headers, and the key of the request', async () => {
    const { json } = await post(submitter, message(), {
      'anthropic-version': '2026-10-21', 'anthropic-beta': 'one-2026, two-2026',
      'idempotency-key': 'order-17' });
    const meta = String(await job(json.id, 'meta'));
    for (const word of ['2026-10-21', 'one-2026, two-2026', 'order-17']) {
      assert.ok(meta.includes(word), word);
    }
  });

  test('names what is wrong with a request', async () => {
    const cases = [
      ['', /empty|body/i],
      ['[]', /object/],
      ['{"a":1', /byte \d+/],
      [`{"x":"${CANARY}",}`, /byte \d+/],
      ['{"message":"a\u0001b"}', /byte \d+/],
      [Buffer.from('{"message":"\xff\xfe"}', 'latin1'), /byte \d+/],
      [`{"message":"${CANARY}","max_tokens":"9"}`, /max_tokens/],
      [`{"message":"${CANARY}","max_tokens":-1}`, /max_tokens/],
      [`{"message":"${CANARY}","model":7}`, /model/],
      [`{"message":"${CANARY}","model":"a b"}`, /model/],
      [`{"message":"${CANARY}","model":"a","model":"b"}`, /model/],
      [`{"message":["${CANARY}"]}`, /message/],
      [`{"message":"a","messages":[{}]}`, /message/],
      ['{"max_tokens":5}', /messages/],
      ['{"messages":[],"max_tokens":5}', /messages/],
      ['{"messages":"x","max_tokens":5}', /messages/],
      ['{"messages":[1],"max_tokens":5}', /messages\[0\]/],
      ['{"message":"a","system":[{"text":"b"}]}', /system\[0\]\.type/],
      [`{"message":"a","stream":"${CANARY}"}`, /stream/],
      ['{"message":"a","longhaul":[]}', /longhaul/],
      ['{"message":"a","longhaul":{"lnae":"bulk"}}', /lnae.*lane/],
      [`{"message":"a","longhaul":{"lane":"${CANARY}"}}`, /longhaul\.lane/],
      ['{"message":"a","longhaul":{"webhook":"x"}}', /webhook/],
      ['{"message":"a","longhaul":{"expires_in":"99d"}}', /expires_in/],
      ['{"message":"a","longhaul":{"max_attempts":0}}', /max_attempts/],
      [`{"message":"a"} ${CANARY}`, /byte \d+/],
    ];
    for (const [body, pattern] of cases) {
      const answer = await post(submitter, body);
      assert.notEqual(answer.status, 202, String(body));
      refused(answer, 400, 'invalid_request_error', pattern);
    }
  });

  test('names the header that is wrong', async () => {
    const cases = [
      [{ 'anthropic-version': 'latest' }, /anthropic-version/],
      [{ 'anthropic-version': '2023-06-01x' }, /anthropic-version/],
      [{ 'anthropic-beta': 'x'.repeat(1025) }, /anthropic-beta/],
      [{ 'idempotency-key': 'x'.repeat(256) }, /Idempotency-Key/],
      [{ 'idempotency-key': 'two words' }, /Idempotency-Key/],
    ];
    for (const [headers, pattern] of cases) {
      refused(await post(submitter, message(), headers), 400,
        'invalid_request_error', pattern);
    }
    const longest = await post(submitter, message('longest key'),
      { 'idempotency-key': 'k'.repeat(255), 'anthropic-beta': 'x'.repeat(1024) });
    assert.equal(longest.status, 202, longest.text);
  });

  test('refuses deep nesting as soon as it sees it', async () => {
    refused(await post(submitter, '['.repeat(100_000)), 400,
      'invalid_request_error', /object/);
    refused(await post(submitter, `{"a":${'['.repeat(100_000)}`), 400,
      'invalid_request_error', /deep|nest/i);
  });

  test('answers a broken large body at its first bad byte', async () => {
    const head = 'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n'
      + 'Content-Type: application/json\r\nContent-Length: 32000000\r\n\r\n';
    const answer = await raw(submitter, `${head}{"message":"x",]`);
    assert.match(answer, /^HTTP\/1\.1 400 /);
    assert.match(answer, /byte 15/);
  });

  test('says which methods, types and hosts it serves', async () => {
    const get = await fetch(`${submitter.url}/v1/jobs`);
    assert.equal(get.status, 405);
    assert.match(get.headers.get('allow'), /POST/);
    assert.equal((await fetch(`${submitter.url}/v1/nothing`)).status, 404);
    assert.equal((await post(submitter, 'a=b',
      { 'content-type': 'application/x-www-form-urlencoded' })).status, 415);
    const host = await raw(submitter,
      'GET /livez HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n');
    assert.match(host, /^HTTP\/1\.1 421 /);
    const origin = await fetch(`${submitter.url}/livez`,
      { headers: { origin: 'https://evil.example' } });
    assert.equal(origin.headers.get('access-control-allow-origin'), null);
  });

  test('answers the same key and body with the same job', async () => {
    const headers = { 'idempotency-key': 'same' };
    const first = await post(submitter, message('once'), headers);
    const second = await post(submitter, message('once'), headers);
    assert.equal(first.status, 202);
    assert.equal(second.status, 202);
    assert.equal(second.json.id, first.json.id);
    assert.equal(first.headers.get('idempotent-replayed'), null);
    assert.equal(second.headers.get('idempotent-replayed'), 'true');
    assert.equal(second.headers.get('location'), first.headers.get('location'));
    const other = await post(submitter, message('another'), headers);
    refused(other, 422, 'invalid_request_error', /Idempotency-Key/);
    assert.ok(other.json.error.message.includes(first.json.id));
  });

  test('answers 410 for the key of a job past retention', async () => {
    const headers = { 'idempotency-key': 'swept' };
    const { json } = await post(submitter, message('swept'), headers);
    await client.command('DEL', `${P}job:${json.id}`);
    await client.command('ZREM', `${P}ids`, json.id);
    refused(await post(submitter, message('swept'), headers), 410,
      'not_found_error', /not kept any more/);
  });

  test('makes one job of concurrent twins, small and staged', async () => {
    const noise = Array.from({ length: 12_000 }, (_, i) =>
      createHash('sha256').update(`n${i}`).digest('base64')).join('');
    for (const [key, text] of [['twins', 'short'], ['large-twins', noise]]) {
      const answers = await Promise.all(Array.from({ length: 20 }, () =>
        post(submitter, message(text), { 'idempotency-key': key })));
      assert.deepEqual([...new Set(answers.map((a) => a.status))], [202],
        answers.map((a) => a.text).join('\n'));
      assert.equal(new Set(answers.map((a) => a.json.id)).size, 1);
      assert.equal(answers.filter((a) =>
        !a.headers.get('idempotent-replayed')).length, 1);
    }
    await until(async () => (await client.command('ZCARD', `${P}staging`)) === 0,
      { what: 'parts of the losers thrown away' });
    assert.equal((await client.command('KEYS', `${P}body:*`)).length, 1);
  });

  test('stages long bodies in parts, compressed when that helps', async () => {
    const text = `${CANARY} ${'All work and no play. '.repeat(31 * 47_000)}`;
    // Of a model whose context nobody knows: no other takes so much text.
    const body = JSON.stringify({ ...message(text), model: 'mock-ok' });
    assert.ok(body.length > 30 * MIB);
    const before = await rssBytes(submitter);
    const packed = await post(submitter, body);
    assert.equal(packed.status, 202, packed.text);
    const meta = JSON.parse(await job(packed.json.id, 'meta'));
    assert.equal(meta.h, createHash('sha256').update(body).digest('hex'));
    assert.ok(Number(await job(packed.json.id, 'sz')) < MIB);

    const bytes = Buffer.alloc(23 * MIB);
    for (let i = 0, x = 1; i < bytes.length; i++) {
      x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
      bytes[i] = x >>> 24;
    }
    const noise = JSON.stringify(message(bytes.toString('base64')));
    const stored = await post(submitter, noise);
    assert.equal(stored.status, 202, stored.text);
    const parts = await client.command('HGETALL', `${P}body:${stored.json.id}`);
    assert.ok(parts.length / 2 > 40);
    for (let i = 1; i < parts.length; i += 2) {
      assert.ok(parts[i].length <= 512 * 1024);
    }
    assert.ok(await rssBytes(submitter) - before < 64 * MIB);
    assert.equal(await client.command('ZCARD', `${P}staging`), 0);
  });

  test('takes a body of 32 MiB and not a byte more', async () => {
    const make = (length) => {
      const empty = JSON.stringify(message(''));
      return empty.replace('"content":""',
        `"content":"${'a'.repeat(length - empty.length)}"`);
    };
    const fits = make(32 * MIB);
    assert.equal(Buffer.byteLength(fits), 32 * MIB);
    assert.equal((await post(submitter, fits)).status, 202);
    refused(await post(submitter, make(32 * MIB + 1)), 413, 'request_too_large',
      /33554432/);
    // without a Content-Length: known only at the last byte
    const chunks = new ReadableStream({
      start(controller) {
        controller.enqueue(Buffer.from(make(32 * MIB + 1)));
        controller.close();
      },
    });
    const answer = await fetch(`${submitter.url}/v1/jobs`, { method: 'POST',
      headers: { 'content-type': 'application/json' }, body: chunks,
      duplex: 'half' }).then((r) => r.status, () => 'cut');
    assert.ok(answer === 413 || answer === 'cut', String(answer));
  });

  test('takes what leaves for Claude with 32 MiB and not a byte more', async () => {
    // The short form leaves with messages, role, model and max_tokens.
    const grown = (length, more = '') => `{${more}"message":"${
      'a'.repeat(length - 14 - more.length)}"}`;
    const left = 32 * MIB
      - '"model":"claude-sonnet-5-5","max_tokens":1024,'.length
      - 's[{"role":"user","content":}]'.length;
    const fits = grown(left);
    assert.equal(fits.length, left);
    const taken = await post(submitter, fits);
    assert.equal(taken.status, 202, taken.text);
    refused(await post(submitter, grown(left + 1)), 413, 'request_too_large',
      /33554433 bytes; the limit is 33554432/);
    // A long answer is streamed: "stream":true is put in.
    refused(await post(submitter, grown(left + 14, '"max_tokens":9000,')), 413,
      'request_too_large', /added for Claude/);
    assert.equal(await client.command('ZCARD', `${P}staging`), 0);
  });

  test('serves others while hundreds of bodies hang half-sent', async () => {
    const sockets = [];
    for (let i = 0; i < 300; i++) {
      const socket = connect(submitter.port, '127.0.0.1');
      socket.on('error', () => {});
      socket.write('POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n'
        + (i % 2 === 0 ? 'Content-Ty'
          : 'Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n'
            + '{"message":"half'));
      sockets.push(socket);
    }
    await sleep(100);
    const started = Date.now();
    for (let i = 0; i < 20; i++) {
      assert.equal((await post(submitter, message(`besides ${i}`))).status, 202);
    }
    assert.ok(Date.now() - started < 8000);
    for (const socket of sockets) socket.destroy();
  });

  test('throws the parts of an upload away when its client leaves', async () => {
    const socket = connect(submitter.port, '127.0.0.1');
    socket.on('error', () => {});
    const noise = Array.from({ length: 50_000 }, (_, i) =>
      createHash('sha256').update(`m${i}`).digest('base64')).join('');
    socket.write('POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n'
      + 'Content-Type: application/json\r\nContent-Length: 30000000\r\n\r\n'
      + `{"message":"${noise}`);
    await until(async () => (await client.command('ZCARD', `${P}staging`)) === 1,
      { what: 'a staged part' });
    socket.destroy();
    await until(async () => (await client.command('ZCARD', `${P}staging`)) === 0,
      { what: 'its removal' });
  });

  test('counts what it took and what it refused', async () => {
    const text = await (await fetch(`${submitter.url}/metrics`)).text();
    assert.match(text, /^longhaul_jobs_submitted_total\{lane="bulk"\} 1$/m);
    assert.match(text, /^longhaul_submits_rejected_total\{reason="bad_request"\} \d+$/m);
    assert.match(text, /^longhaul_http_requests_total\{route="\/v1\/jobs",method="POST",code="202"\} \d+$/m);
    assert.doesNotMatch(text, /job_0/);
  });

  test('ends in good order and tells neither prompts nor keys', async () => {
    assert.deepEqual(await submitter.stop(), { code: 0, signal: null });
    assert.match(submitter.stderr(), /"event":"job_accepted"/);
    assert.match(submitter.stderr(), /"event":"submit_rejected"/);
    assert.doesNotMatch(submitter.stderr(), new RegExp(CANARY));
    assert.doesNotMatch(submitter.stderr(), /order-17/);
  });
});

describe('submit: limits, keys, origins', () => {
  after(stopAll);

  test('answers 429 with Retry-After at the limit of jobs and of bytes', async () => {
    const redis = await startRedis();
    const client = redisClient(redis.socket);
    await client.command('SET', `${P}install`, MARKER);
    const jobs = await startSubmitter(redis,
      { args: ['--max-queued-jobs', '3'] });
    for (let i = 0; i < 3; i++) {
      assert.equal((await post(jobs, message(`n${i}`))).status, 202);
    }
    const full = await post(jobs, message('one more'));
    refused(full, 429, 'rate_limit_error', /full/);
    assert.match(full.headers.get('retry-after'), /^[1-9][0-9]?$/);
    assert.equal(await client.command('ZCARD', `${P}ids`), 3);
    // seen before the body once the numbers are known
    await sleep(1300);
    const early = await raw(jobs, 'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n'
      + 'Content-Type: application/json\r\nContent-Length: 30000000\r\n\r\n');
    assert.match(early, /^HTTP\/1\.1 429 /);
    assert.match(early, /\r\nRetry-After: [1-9]/i);

    const bytes = await startSubmitter(redis,
      { args: ['--max-queued-bytes', '4096'] });
    refused(await post(bytes, message('x'.repeat(4000))), 429,
      'rate_limit_error', /bytes/);
    client.close();
  });

  test('answers 429 when Redis has no memory left, and keeps what it has', async () => {
    const redis = await startRedis({ args: ['--maxmemory', '24mb'] });
    const client = redisClient(redis.socket);
    await client.command('SET', `${P}install`, MARKER);
    const submitter = await startSubmitter(redis,
      { args: ['--max-queued-bytes', '1GiB'] });
    const accepted = [];
    let full = null;
    for (let i = 0; i < 60 && full === null; i++) {
      const noise = Array.from({ length: 24_000 }, (_, k) =>
        createHash('sha256').update(`${i} ${k}`).digest('base64')).join('');
      const answer = await post(submitter, message(noise));
      if (answer.status === 202) accepted.push(answer.json.id);
      else full = answer;
    }
    refused(full, 429, 'rate_limit_error', /full/);
    assert.match(full.headers.get('retry-after'), /^[1-9]/);
    assert.ok(accepted.length > 5);
    for (const id of accepted) {
      assert.equal(await client.command('EXISTS', `${P}job:${id}`), 1);
    }
    client.close();
  });

  test('bounds the long bodies that arrive at a time', async () => {
    const redis = await startRedis();
    const client = redisClient(redis.socket);
    await client.command('SET', `${P}install`, MARKER);
    const submitter = await startSubmitter(redis);
    const sockets = Array.from({ length: 128 }, () => {
      const socket = connect(submitter.port, '127.0.0.1');
      socket.on('error', () => {});
      socket.write('POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n'
        + 'Content-Type: application/json\r\nContent-Length: 30000000\r\n\r\n'
        + `{"message":"${'long '.repeat(20_000)}`);
      return socket;
    });
    const long = message('x'.repeat(100_000));
    const busy = await until(async () => {
      const answer = await post(submitter, long);
      return answer.status === 503 && answer;
    }, { what: 'the refusal of one more' });
    refused(busy, 503, 'api_error', /large/);
    assert.match(busy.headers.get('retry-after'), /^[1-9]/);
    assert.equal((await post(submitter, message('short'))).status, 202);
    for (const socket of sockets) socket.destroy();
    await until(async () => (await post(submitter, long)).status === 202,
      { what: 'room for long bodies' });
    client.close();
  });

  test('wants a key with the scope when there is a file of keys', async () => {
    const redis = await startRedis();
    const client = redisClient(redis.socket);
    await client.command('SET', `${P}install`, MARKER);
    const dir = tmpdir();
    const file = join(dir, 'keys');
    const hash = (key) => createHash('sha256').update(key).digest('hex');
    const line = (name, scopes) =>
      `${name} ${hash(`lh_${CANARY}_${name}`)} ${scopes}\n`;
    writeFileSync(file, line('acme', 'submit') + line('reader', 'read'));
    const submitter = await startSubmitter(redis,
      { args: ['--keys-file', file] });
    refused(await post(submitter, message()), 401, 'authentication_error', /key/);
    refused(await post(submitter, message(), { 'x-api-key': 'lh_wrong' }), 401,
      'authentication_error', /key/);
    refused(await post(submitter, message(),
      { 'x-api-key': `lh_${CANARY}_reader` }), 403, 'permission_error', /submit/);
    const answer = await post(submitter, message(),
      { authorization: `Bearer lh_${CANARY}_acme` });
    assert.equal(answer.status, 202, answer.text);
    assert.equal(answer.json.tenant, 'acme');
    // the key of one tenant does not find another's job
    const headers = { 'idempotency-key': 'shared' };
    const first = await post(submitter, message(),
      { ...headers, 'x-api-key': `lh_${CANARY}_acme` });
    writeFileSync(file, line('acme', 'submit') + line('other', 'submit'));
    await sleep(1100);
    const second = await post(submitter, message(),
      { ...headers, 'x-api-key': `lh_${CANARY}_other` });
    assert.equal(second.status, 202, second.text);
    assert.notEqual(second.json.id, first.json.id);
    // a broken file keeps the old keys
    writeFileSync(file, 'nonsense\n');
    await sleep(1100);
    assert.equal((await post(submitter, message(),
      { 'x-api-key': `lh_${CANARY}_other` })).status, 202);
    assert.match(submitter.stderr(), /keys_file_broken/);
    assert.doesNotMatch(submitter.stderr(), new RegExp(CANARY));
    client.close();
  });

  test('lets the configured origins in, and no others', async () => {
    const redis = await startRedis();
    const client = redisClient(redis.socket);
    await client.command('SET', `${P}install`, MARKER);
    const submitter = await startSubmitter(redis, { args: ['--cors-origins',
      'https://app.example', '--allowed-hosts', 'jobs.example',
      '--public-url', 'https://queue.example'] });
    const preflight = await fetch(`${submitter.url}/v1/jobs`, {
      method: 'OPTIONS', headers: { origin: 'https://app.example',
        'access-control-request-method': 'POST' } });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers.get('access-control-allow-origin'),
      'https://app.example');
    const other = await fetch(`${submitter.url}/v1/jobs`, { method: 'OPTIONS',
      headers: { origin: 'https://app.example.evil',
        'access-control-request-method': 'POST' } });
    assert.equal(other.headers.get('access-control-allow-origin'), null);
    for (const [host, status] of [['jobs.example', 200],
      ['jobs.example:8443', 200], ['queue.example', 200], ['[::1]:1', 200],
      ['127.0.0.1.evil', 421], ['evil.example', 421]]) {
      const answer = await raw(submitter, 'GET /livez HTTP/1.1\r\n'
        + `Host: ${host}\r\nConnection: close\r\n\r\n`);
      assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `), host);
    }
    const { json, headers } = await post(submitter, message());
    assert.equal(headers.get('location'),
      `https://queue.example/v1/jobs/${json.id}`);
    client.close();
  });

  test('refuses to listen beyond loopback without keys', async () => {
    const program = await startProcess(bin('longhaul-submitter'),
      { args: ['--submitter-listen', '0.0.0.0:0'], cwd: tmpdir() });
    assert.equal((await program.exited).code, 2);
    assert.match(program.stderr(), /refusing to listen on 0\.0\.0\.0/);
  });
});

describe('submit: trouble', () => {
  after(stopAll);

  test('answers 503 in time while Redis is away and goes on after', async () => {
    const redis = await startRedis();
    let client = redisClient(redis.socket);
    await client.command('SET', `${P}install`, MARKER);
    const submitter = await startSubmitter(redis);
    const headers = { 'idempotency-key': 'through-restarts' };
    const first = await post(submitter, message('stays'), headers);
    assert.equal(first.status, 202);
    client.close();
    await redis.stop();
    await until(async () =>
      (await fetch(`${submitter.url}/readyz`)).status === 503);
    const started = Date.now();
    const down = await post(submitter, message('lost'));
    refused(down, 503, 'api_error', /./);
    assert.match(down.headers.get('retry-after'), /^[1-9]/);
    assert.ok(Date.now() - started < 15000);
    assert.equal((await fetch(`${submitter.url}/livez`)).status, 200);
    const again = await startRedis({ dir: redis.dir });
    await isReady(submitter);
    const second = await post(submitter, message('stays'), headers);
    assert.equal(second.json.id, first.json.id);
    assert.equal(second.headers.get('idempotent-replayed'), 'true');
    // and by another process
    const other = await startSubmitter(again);
    const third = await post(other, message('stays'), headers);
    assert.equal(third.json.id, first.json.id);
    client = redisClient(again.socket);
    assert.equal(await client.command('ZCARD', `${P}ids`), 1);
    client.close();
  });

  test('gives up on a Redis that stands still, then recovers', async () => {
    const redis = await startRedis();
    const client = redisClient(redis.socket);
    await client.command('SET', `${P}install`, MARKER);
    const submitter = await startSubmitter(redis);
    redis.signal('SIGSTOP');
    const started = Date.now();
    const frozen = await post(submitter, message('frozen'));
    assert.equal(frozen.status, 503, frozen.text);
    assert.match(frozen.headers.get('retry-after'), /^[1-9]/);
    assert.ok(Date.now() - started < 15000);
    redis.signal('SIGCONT');
    await isReady(submitter);
    assert.equal((await post(submitter, message('thawed'))).status, 202);
    client.close();
  });

  test('serves no Redis without the marker', async () => {
    const redis = await startRedis();
    const client = redisClient(redis.socket);
    const submitter = await startSubmitter(redis, { ready: false });
    await until(async () => {
      const answer = await fetch(`${submitter.url}/readyz?verbose`);
      const text = await answer.text();
      return answer.status === 503 && /marker/.test(text) &&
        /"name":"redis","ok":true/.test(text);
    });
    refused(await post(submitter, message()), 503, 'api_error', /./);
    await client.command('SET', `${P}install`, MARKER);
    await isReady(submitter);
    assert.equal((await post(submitter, message())).status, 202);
    await client.command('FLUSHALL');
    refused(await post(submitter, message()), 503, 'api_error', /./);
    await until(async () =>
      (await fetch(`${submitter.url}/readyz`)).status === 503);
    client.close();
  });

  test('finishes what it began when it is told to stop', async () => {
    const redis = await startRedis();
    const client = redisClient(redis.socket);
    await client.command('SET', `${P}install`, MARKER);
    const submitter = await startSubmitter(redis);
    const slow = beginPost(submitter);
    await sleep(100);
    submitter.signal('SIGTERM');
    await submitter.waitForLine(/"event":"draining"/);
    await assert.rejects(fetch(`${submitter.url}/livez`));
    slow.finish();
    await until(() => /\r\n\r\n\{/.test(slow.got()), { what: 'the answer' });
    assert.match(slow.got(), /^HTTP\/1\.1 202 /);
    assert.deepEqual(await submitter.exited, { code: 0, signal: null });
    assert.equal(await client.command('ZCARD', `${P}ids`), 1);
    client.close();
  });

  test('the time in an id is when its job was created', async () => {
    const redis = await startRedis();
    const client = redisClient(redis.socket);
    await client.command('SET', `${P}install`, MARKER);
    const submitter = await startSubmitter(redis);
    const slow = beginPost(submitter, 'Connection: close\r\n');
    await sleep(100); // a slow upload
    slow.finish();
    const [json] = await until(() => /\{.*\}/s.exec(slow.got()));
    const job = JSON.parse(json);
    // It expires by its acceptance, which was later.
    const life = Date.parse(job.expires_at) - Date.parse(job.created_at);
    assert.ok(life >= 7 * 86_400_000 + 90, `${life} ms`);
    // Lists by time find jobs by it.
    assert.equal(Date.parse(job.created_at),
      parseInt(job.id.slice(4).replace('-', '').slice(0, 12), 16));
    client.close();
  });

  test('ends at once at the second signal', async () => {
    const redis = await startRedis();
    const submitter = await startSubmitter(redis, { ready: false });
    const socket = connect(submitter.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write('POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Le');
    await sleep(100);
    submitter.signal('SIGINT');
    await submitter.waitForLine(/"event":"draining"/);
    submitter.signal('SIGINT');
    const { code, signal } = await submitter.exited;
    assert.ok(code === 130 || (code === 0 && signal === null));
    socket.destroy();
  });
});
