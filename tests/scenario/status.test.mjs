// longhaul-status as a program of its own: what clients and operators see
// while workers work, while a status process dies, and while one drains.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { bin, sleep, startProcess, startStack, stopAll, until }
  from './lib/index.mjs';

const FAST = { LONGHAUL_RETRY_BASE: '20ms', LONGHAUL_RETRY_CAP: '200ms' };

const startStatus = async (stack) => {
  const program = await startProcess(bin('longhaul-status'), {
    args: ['--die-with-parent'], env: stack.env, cwd: stack.dir,
    waitFor: /^ready (http:\S+)$/m });
  const url = program.match[1];
  await until(async () => (await fetch(`${url}/readyz`)).status === 200,
    { what: 'readiness' });
  return Object.assign(program, { url });
};

const deadLetters = async (stack) =>
  (await stack.call('GET', '/v1/dead-letters?limit=1000')).json.data;

describe('the status API', () => {
  let stack;
  after(stopAll);

  test('the stack starts', async () => {
    stack = await startStack({ workerEnv: FAST });
  });

  test('a long-poll for the result comes with the answer', async () => {
    const id = await stack.submit('mock-ok');
    const answer = await stack.call('GET', `/v1/jobs/${id}/result?wait=30`);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json.type, 'message');
    const job = await stack.call('GET', `/v1/jobs/${id}`);
    const same = await fetch(`${stack.status.url}/v1/jobs/${id}`,
      { headers: { 'if-none-match': job.headers.get('etag') } });
    assert.equal(same.status, 304);
  });

  test('two hundred long-polls end with their jobs', async () => {
    const ids = [];
    for (let i = 0; i < 200; i++) ids.push(await stack.submit('mock-ok'));
    const answers = await Promise.all(ids.map((id) =>
      stack.call('GET', `/v1/jobs/${id}?wait=50`)));
    assert.deepEqual([...new Set(answers.map((a) => a.json.status))],
      ['succeeded']);
    const seen = [];
    let cursor = '';
    do {
      const page = (await stack.call('GET',
        `/v1/jobs?status=succeeded&limit=70${cursor}`)).json;
      seen.push(...page.data.map((job) => job.id));
      cursor = page.has_more ? `&after_id=${page.last_id}` : '';
    } while (cursor);
    assert.equal(new Set(seen).size, seen.length);
    assert.ok(ids.every((id) => seen.includes(id)));
  });

  test('a deleted job is gone from the store too', async () => {
    const id = await stack.submit('mock-ok');
    await stack.wait(id);
    assert.equal((await stack.call('DELETE', `/v1/jobs/${id}`)).status, 204);
    assert.equal((await stack.result(id)).status, 410);
    await sleep(1500); // a worker erases it meanwhile
    assert.equal((await stack.result(id)).status, 410);
    assert.equal((await stack.call('GET', `/v1/jobs/${id}`)).status, 410);
  });

  test('the key of a deleted job is answered 410 at once', async () => {
    const body = { model: 'mock-ok', max_tokens: 64,
      messages: [{ role: 'user', content: 'Delete me.' }] };
    const key = { 'idempotency-key': 'deleted' };
    const { json: { id } } = await stack.post(body, key);
    await stack.wait(id);
    stack.workers[0].signal('SIGSTOP'); // it would erase the row
    assert.equal((await stack.call('DELETE', `/v1/jobs/${id}`)).status, 204);
    assert.equal((await stack.post(body, key)).status, 410);
    stack.workers[0].signal('SIGCONT');
    await until(async () => (await stack.result(id)).status === 410,
      { what: 'the erasure' });
    assert.equal((await stack.post(body, key)).status, 410);
  });

  test('an operation survives the process that carries it out', async () => {
    const ids = [];
    for (let i = 0; i < 60; i++) ids.push(await stack.submit('mock-400'));
    await stack.waitAll(ids);
    const other = await startStatus(stack);
    const made = await fetch(`${other.url}/v1/operations`, { method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ action: 'replay', rate: 20,
        filter: { class: 'bad_request' } }) });
    const operation = await made.json();
    assert.equal(made.status, 202);
    assert.equal(operation.eligible, 60);
    await until(async () => (await stack.call('GET',
      `/v1/operations/${operation.id}`)).json.done >= 10,
    { what: 'some progress' });
    await other.kill();
    const ended = await until(async () => {
      const { json } = await stack.call('GET',
        `/v1/operations/${operation.id}`);
      return json.status === 'succeeded' ? json : null;
    }, { timeoutMs: 30_000, what: 'the end of the operation' });
    assert.equal(ended.done + ended.skipped, 60);
    assert.equal(ended.failed, 0);
    // Each was replayed once, and what failed again was left alone.
    await until(async () => (await deadLetters(stack)).length === 60,
      { what: 'sixty new dead letters' });
    for (const letter of await deadLetters(stack)) {
      assert.equal(letter.generation, 1);
    }
    const groups = (await stack.call('GET', '/v1/dead-letters/groups')).json;
    assert.equal(groups.data[0].count, 60);
  });

  test('a drain answers those who wait', async () => {
    const other = await startStatus(stack);
    const id = await stack.submit('mock-slow-30s');
    const waiting = fetch(`${other.url}/v1/jobs/${id}?wait=50`);
    await sleep(300);
    const began = Date.now();
    other.signal('SIGTERM');
    const answer = await waiting;
    assert.equal(answer.status, 200);
    assert.match((await answer.json()).status, /queued|running/);
    assert.equal((await other.exited).code, 0);
    assert.ok(Date.now() - began < 5000);
    assert.equal((await stack.call('POST', `/v1/jobs/${id}/cancel`)).status,
      202);
    assert.equal((await stack.wait(id)).status, 'canceled');
  });

  test('openapi.json names what is served', async () => {
    const { json } = await stack.call('GET', '/openapi.json');
    assert.equal(json.openapi, '3.1.0');
    assert.ok(json.paths['/v1/jobs/{id}'].get);
  });
});
