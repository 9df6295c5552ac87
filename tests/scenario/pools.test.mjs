// Several upstreams, trouble of an account, and what an operator stops by
// hand. Jobs wait or go elsewhere; none is lost and none becomes a dead letter.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
import { Agent, createServer, request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { bin, CANARY, sleep, startFakeClaude, startStack, stopAll, tmpdir,
  until } from './lib/index.mjs';

const MODEL = 'claude-haiku-5-5';
const FAST = { LONGHAUL_RETRY_BASE: '20ms', LONGHAUL_RETRY_CAP: '100ms' };
// A pause may end on another day.
const TIME = String.raw`(?:\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\dZ`;
/** The pools are those of the file alone. */
const NO_DEFAULT = { ANTHROPIC_API_KEY: '', ANTHROPIC_BASE_URL: '' };
const keyOf = (name) => `sk-ant-${CANARY}-${name}-0123456789012345678901234`;
const DENIED = JSON.stringify({ type: 'error',
  error: { type: 'authentication_error', message: 'invalid x-api-key' } });

/** A gate before the simulator: it knows which key is good, and what came. */
async function startGate(target, good) {
  const agent = new Agent({ keepAlive: true });
  const gate = { good, denied: 0, passed: 0, heads: [] };
  const server = createServer((request, response) => {
    const { headers } = request;
    const key = headers['x-api-key']
      ?? headers.authorization?.replace(/^Bearer /, '');
    if (gate.heads.length < 100) gate.heads.push(headers);
    if (key !== gate.good) {
      gate.denied++;
      request.resume();
      request.on('end', () => {
        response.writeHead(401, { 'content-type': 'application/json' });
        response.end(DENIED);
      });
      return;
    }
    gate.passed++;
    const on = httpRequest(`${target}${request.url}`, { method: request.method,
      agent, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    on.on('error', () => response.destroy());
    request.pipe(on);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(gate, { url: `http://127.0.0.1:${server.address().port}`,
    close: () => { server.closeAllConnections(); server.close(); } });
}

function run(stack, ...args) {
  return new Promise((resolve) => {
    const child = spawn(bin('longhaul'), args, { stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH, LONGHAUL_URL: stack.status.url } });
    let out = '';
    child.stdout.on('data', (data) => { out += data; });
    child.stderr.on('data', (data) => { out += data; });
    child.on('close', (code) => resolve({ code, out }));
  });
}

const pool = async (stack, name) => (await stack.call('GET', '/v1/pools'))
  .json?.data?.find((one) => one.name === name);
const poolIs = (stack, name, paused) => until(async () =>
  (await pool(stack, name))?.paused === paused,
{ what: `pool ${name} ${paused ? 'paused' : 'running'}` });
const deadLetters = async (stack) =>
  (await stack.call('GET', '/v1/lanes')).json.dead_letters;

function config(...lines) {
  const path = join(tmpdir(), 'longhaul.conf');
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
}

function keyFile(key) {
  const path = join(tmpdir(), 'key');
  writeFileSync(path, `${key}\n`);
  return path;
}

function replaceKey(path, key) {
  writeFileSync(`${path}.new`, `${key}\n`);
  renameSync(`${path}.new`, path);
}

describe('trouble of the account', () => {
  after(stopAll);

  test('ten thousand jobs outlast a revoked key', async () => {
    const path = keyFile(keyOf('old'));
    const stack = await startStack({ workers: 0, env: FAST });
    const gate = await startGate(stack.claude.url, keyOf('new'));
    for (let i = 0; i < 2; i++)
      await stack.startWorker({ ANTHROPIC_BASE_URL: gate.url,
        ANTHROPIC_API_KEY_FILE: path });
    const batch = await stack.start('longhaul-submitter').then((submitter) =>
      fetch(`${submitter.url}/v1/batches`, { method: 'POST',
        headers: { 'content-type': 'application/x-ndjson' },
        body: Array.from({ length: 9_900 }, (_, i) => JSON.stringify({
          custom_id: `row-${i}`, params: { model: MODEL, max_tokens: 16,
            messages: [{ role: 'user', content: `row ${i}` }] } })).join('\n') }));
    assert.equal(batch.status, 202, await batch.clone().text());
    const { id } = await batch.json();
    const ids = await Promise.all(Array.from({ length: 100 }, () =>
      stack.submit(MODEL)));

    await poolIs(stack, 'default', true);
    const held = await pool(stack, 'default');
    assert.match(held.status_reason,
      new RegExp(`^pool default is paused until ${TIME}: Paused: Claude does not accept`));
    await until(async () => /pool default is paused until/.test(
      (await stack.job(ids[99])).status_reason), { what: 'the reason' });
    const why = await run(stack, 'why', ids[99]);
    assert.match(why.out, /pool default is paused until/);
    const doctor = await run(stack, 'doctor');
    assert.match(doctor.out, /held back.*pool default is paused until/);
    const metrics = await fetch(`${stack.status.url}/metrics`);
    assert.match(await metrics.text(), /^longhaul_lane_paused\{.*"pool:default".*"paused".*\} 1$/m);
    await sleep(1000);
    assert.ok(gate.denied < 600, `${gate.denied} calls for nothing`);
    assert.equal(gate.passed, 0);

    gate.good = keyOf('good');
    replaceKey(path, keyOf('good'));
    const jobs = await stack.waitAll(ids, 60_000);
    assert.ok(jobs.every((job) => job.status === 'succeeded'));
    assert.ok(jobs.every((job) => job.attempts === 1));
    const ended = await until(async () => {
      const { json } = await stack.call('GET', `/v1/batches/${id}`);
      return json.counts.succeeded === 9_900 && json;
    }, { timeoutMs: 90_000, what: 'the end of the batch' });
    assert.equal(ended.counts.failed, 0);
    assert.equal(await deadLetters(stack), 0);
    assert.equal(gate.passed, 10_000);
    assert.equal((await pool(stack, 'default')).paused, false);
    gate.close();
  });
});

describe('pools', () => {
  let stack;
  let other;
  after(stopAll);

  test('a paused pool leaves its work to the others', async () => {
    other = await startFakeClaude();
    stack = await startStack({ workers: 0, env: FAST });
    const path = config('[pool a]', `base_url = ${stack.claude.url}`,
      `api_key_file = ${keyFile(keyOf('a'))}`, 'weight = 1000',
      '[pool b]', `base_url = ${other.url}`, 'auth = bearer',
      `api_key_file = ${keyFile(keyOf('b'))}`, 'version = 2023-06-01');
    await stack.startWorker({ ...NO_DEFAULT, LONGHAUL_CONFIG: path });
    await stack.startWorker({ ...NO_DEFAULT, LONGHAUL_CONFIG: path });
    await stack.claude.mode({ outage: true, status: 402 });
    const ids = await Promise.all(Array.from({ length: 200 }, () =>
      stack.submit(MODEL)));
    const jobs = await stack.waitAll(ids, 30_000);
    assert.ok(jobs.every((job) => job.status === 'succeeded'));
    assert.ok(jobs.every((job) => job.attempts === 1));
    await poolIs(stack, 'a', true);
    assert.match((await pool(stack, 'a')).status_reason, /payment/);
    assert.equal((await pool(stack, 'b')).paused, false);
    const ends = other.ends();
    assert.equal(ends.length, 200);
    assert.ok(ends.every((line) => line.auth === 'bearer'), ends[0].auth);
    assert.equal(await deadLetters(stack), 0);
  });

  test('and gets work again when it is resumed', async () => {
    await stack.claude.mode({ outage: false });
    const before = stack.claude.ends().length;
    const { code, out } = await run(stack, 'pools', 'resume', 'a');
    assert.equal(code, 0, out);
    assert.match(out, /^pool a runs$/m);
    await until(async () => {
      await stack.wait(await stack.submit(MODEL));
      return stack.claude.ends().length > before;
    }, { what: 'a call by pool a' });
    assert.ok(stack.claude.ends().every((line) => line.auth === 'x-api-key'));
    const list = await run(stack, 'pools', 'ls');
    assert.match(list.out, /^a +running +1000 +all +http\S+ +nothing$/m);
    assert.match(list.out, /^b +running +1 +all /m);
  });

  test('what is stopped by hand waits for a hand', async () => {
    assert.equal((await run(stack, 'pools', 'pause', 'a')).code, 0);
    assert.equal((await run(stack, 'pools', 'pause', 'b', '--reason',
      'moving house')).code, 0);
    await sleep(600); // every worker has heard of it
    const id = await stack.submit(MODEL);
    await until(async () => / pool [ab] is paused until it is lifted/.test(
      (await stack.job(id)).status_reason), { what: 'the reason' });
    assert.equal((await stack.job(id)).status, 'queued');
    assert.equal((await run(stack, 'pools', 'resume', 'b')).code, 0);
    assert.equal((await stack.wait(id)).status, 'succeeded');
    assert.equal((await run(stack, 'pools', 'resume', 'a')).code, 0);
    const unknown = await run(stack, 'pools', 'pause', 'c');
    assert.equal(unknown.code, 5, unknown.out);
  });

  test('a lane that is stopped lets the others go', async () => {
    assert.match((await run(stack, 'lanes', 'pause', 'bulk', '--for', '1h',
      '--reason', 'later')).out,
    new RegExp(`^lane bulk is paused until ${TIME}: later$`, 'm'));
    await sleep(600);
    const bulk = await stack.submit(MODEL, { longhaul: { lane: 'bulk' } });
    const standard = await stack.submit(MODEL);
    assert.equal((await stack.wait(standard)).status, 'succeeded');
    await until(async () => /lane bulk is paused until .*: later/.test(
      (await stack.job(bulk)).status_reason), { what: 'the reason' });
    await until(async () => /^bulk +paused +1 +0 /m.test(
      (await run(stack, 'lanes', 'ls')).out), { what: 'the numbers' });
    assert.match((await run(stack, 'lanes', 'resume', 'bulk')).out,
      /^lane bulk runs$/m);
    assert.equal((await stack.wait(bulk)).status, 'succeeded');
  });

  test('a model goes to the pool that serves it', async () => {
    await stopAll();
    other = await startFakeClaude();
    stack = await startStack({ workers: 0, env: FAST });
    const path = config('[pool a]', `base_url = ${stack.claude.url}`,
      `api_key_file = ${keyFile(keyOf('a'))}`, 'models = haiku-5-5',
      '[pool b]', `base_url = ${other.url}`,
      `api_key_file = ${keyFile(keyOf('b'))}`, 'models = claude-opus-5-5');
    await stack.startWorker({ ...NO_DEFAULT, LONGHAUL_CONFIG: path });
    await stack.waitAll(await Promise.all([stack.submit(MODEL),
      stack.submit('claude-opus-5-5'), stack.submit(MODEL)]));
    const models = (claude) => claude.ends().map((line) => line.model).sort();
    assert.deepEqual(models(stack.claude), [MODEL, MODEL]);
    assert.deepEqual(models(other), ['claude-opus-5-5']);
    const nobodys = await stack.submit('claude-sonnet-5-5');
    await until(async () => /no pool serves the model claude-sonnet-5-5/.test(
      (await stack.job(nobodys)).status_reason), { what: 'the reason' });
    await stack.call('POST', `/v1/jobs/${nobodys}/cancel`);
    await stack.wait(nobodys);
  });

  test('a rate limit of an hour sends its jobs to the other pool', async () => {
    await stopAll();
    let refused = 0;
    const full = createServer((request, response) => {
      refused++;
      request.resume();
      request.on('end', () => {
        response.writeHead(429, { 'content-type': 'application/json',
          'retry-after': '3600' });
        response.end(JSON.stringify({ type: 'error',
          error: { type: 'rate_limit_error', message: 'full' } }));
      });
    });
    await new Promise((resolve) => full.listen(0, '127.0.0.1', resolve));
    stack = await startStack({ workers: 0, env: FAST });
    const path = config('[pool a]', 'weight = 100',
      `base_url = http://127.0.0.1:${full.address().port}`,
      `api_key_file = ${keyFile(keyOf('a'))}`,
      '[pool b]', `base_url = ${stack.claude.url}`,
      `api_key_file = ${keyFile(keyOf('b'))}`);
    await stack.startWorker({ ...NO_DEFAULT, LONGHAUL_CONFIG: path });
    const jobs = await stack.waitAll(await Promise.all(Array.from(
      { length: 10 }, () => stack.submit(MODEL))));
    full.closeAllConnections();
    full.close();
    assert.ok(refused > 0 && refused < 10, `${refused} refused`);
    assert.ok(jobs.every((job) => job.status === 'succeeded'));
    assert.ok(jobs.every((job) => job.attempts === 1));
  });

  test('the limits of two pools add up', async () => {
    await stopAll();
    const strict = ['--ttft-ms', '100', '--rpm', '600', '--burst-s', '1'];
    other = await startFakeClaude({ args: strict });
    stack = await startStack({ workers: 0, env: FAST, fake: strict });
    const path = config('[pool a]', `base_url = ${stack.claude.url}`,
      'limit_rpm = 600', `api_key_file = ${keyFile(keyOf('a'))}`,
      '[pool b]', `base_url = ${other.url}`, 'weight = 3', 'limit_rpm = 600',
      `api_key_file = ${keyFile(keyOf('b'))}`);
    for (let i = 0; i < 2; i++)
      await stack.startWorker({ ...NO_DEFAULT, LONGHAUL_CONFIG: path });
    const ids = await Promise.all(Array.from({ length: 200 }, () =>
      stack.submit(MODEL)));
    const jobs = await stack.waitAll(ids, 60_000);
    assert.ok(jobs.every((job) => job.status === 'succeeded'));
    for (const claude of [stack.claude, other]) {
      const ends = claude.ends();
      const good = ends.filter((line) => line.status === 200);
      assert.ok(ends.length - good.length <= 6, `${ends.length - good.length} refused`);
      assert.ok(good.length > 70, `${good.length} of 200`);
    }
  });

  test('a key that cannot be one is said before the first call', async () => {
    await stopAll();
    stack = await startStack({ workers: 0 });
    const path = config('[pool odd]',
      `api_key_file = ${keyFile(`sk-proj-${CANARY}`)}`);
    const worker = await stack.startWorker(
      { ...NO_DEFAULT, LONGHAUL_CONFIG: path });
    const line = worker.stderr().split('\n').filter((text) =>
      text.includes('key_looks_odd')).map(JSON.parse);
    assert.equal(line.length, 1);
    assert.equal(line[0].pool, 'odd');
    assert.match(line[0].reason, /begin with sk-ant-/);
    assert.doesNotMatch(worker.stderr(), new RegExp(CANARY));
  });
});
