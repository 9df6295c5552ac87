// Downloads of batches when things go wrong: readers that stand still or
// leave, a Redis that is away, a server that is told to end.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { CANARY, sleep, startStack, stopAll, until } from './lib/index.mjs';

const timed = { timeout: 90_000 };
const ROWS = 1500;
const TOKENS = 1500; // of each answer, so that a download has 10 MB

const resident = (program) => Number(/VmRSS:\s+(\d+) kB/.exec(
  readFileSync(`/proc/${program.pid}/status`, 'utf8'))[1]) * 1024;

describe('downloads of batches', () => {
  let stack, id;

  const create = async (lines) => {
    const answer = await fetch(`${stack.submitter.url}/v1/batches`, {
      method: 'POST', body: `${lines.join('\n')}\n`,
      headers: { 'content-type': 'application/x-ndjson' } });
    const text = await answer.text();
    assert.equal(answer.status, 202, text);
    return JSON.parse(text).id;
  };
  // This model fills max_tokens.
  const line = (custom_id, model = 'mock-max-tokens') => JSON.stringify({
    custom_id, params: { model, max_tokens: TOKENS, messages: [
      { role: 'user', content: `${CANARY}: tell me all of it` }] } });
  const ended = (batch) => until(async () =>
    (await stack.call('GET', `/v1/batches/${batch}?wait=5`)).json.status
      === 'ended', { timeoutMs: 60_000, what: `the end of ${batch}` });
  const results = `/results`;

  // A raw connection that has asked for the results.
  const ask = (path) => new Promise((resolve, reject) => {
    const { hostname, port } = new URL(stack.status.url);
    const socket = connect({ host: hostname, port }, () => {
      socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\n`
        + 'Connection: close\r\n\r\n');
      resolve(socket);
    });
    socket.on('error', reject);
  });

  before(async () => {
    stack = await startStack();
    id = await create(Array.from({ length: ROWS }, (_, i) => line(`r-${i}`)));
    await ended(id);
  }, timed);
  after(stopAll);

  test('a reader that stands still costs no memory, and gets it all', timed,
    async () => {
      const whole = (await stack.call('GET', `/v1/batches/${id}${results}`)).text;
      assert.equal(whole.trimEnd().split('\n').length, ROWS);
      assert.ok(whole.length > 5e6, `${whole.length} bytes`);
      const start = resident(stack.status);
      const sockets = [];
      for (let i = 0; i < 10; i++) {
        const socket = await ask(`/v1/batches/${id}${results}`);
        socket.pause();
        sockets.push(socket);
      }
      await sleep(3000);
      const grown = resident(stack.status) - start;
      const limit = process.env.ASAN_OPTIONS ? 96e6 : 24e6;
      assert.ok(grown < limit,
        `${grown} bytes for ten readers of ${whole.length} bytes each`);
      const text = await new Promise((resolve) => {
        const parts = [];
        sockets[0].on('data', (data) => parts.push(data));
        sockets[0].on('end', () => resolve(Buffer.concat(parts).toString()));
        sockets[0].resume();
      });
      for (const custom of ['r-0', 'r-700', `r-${ROWS - 1}`]) {
        assert.ok(text.includes(`"custom_id":"${custom}"`), custom);
      }
      assert.ok(text.endsWith('0\r\n\r\n'), 'it ends as it should');
      for (const socket of sockets.slice(1)) socket.destroy();
    });

  test('readers that leave at any moment disturb nobody', timed, async () => {
    const slow = await create([line('a'), line('s', 'mock-slow-5s')]);
    for (let i = 0; i < 60; i++) {
      const path = [`/v1/batches/${id}${results}`,
        `/v1/messages/batches/${id}${results}`,
        `/v1/batches/${slow}/results?wait=20`, `/v1/batches/${slow}?wait=20`,
        `/v1/batches/${id}/items`, '/v1/batches?limit=5'][i % 6];
      const socket = await ask(path);
      if (i % 2 === 0) await sleep(i);
      socket.destroy();
    }
    await sleep(300);
    const { text } = await stack.call('GET', `/v1/batches/${id}${results}`);
    assert.equal(text.trimEnd().split('\n').length, ROWS);
    await stack.call('POST', `/v1/batches/${slow}/cancel`);
    await ended(slow);
  });

  test('SIGTERM answers those who wait, and lets downloads end', timed,
    async () => {
      const slow = await create([line('a'), line('s', 'mock-slow-30s')]);
      const other = await stack.start('longhaul-status');
      await until(async () => (await fetch(`${other.url}/readyz`)).ok,
        { what: 'readiness' });
      const waiting = fetch(`${other.url}/v1/batches/${slow}?wait=50`);
      const held = fetch(`${other.url}/v1/batches/${slow}/results?wait=50`);
      const load = await fetch(`${other.url}/v1/batches/${id}${results}`);
      const reader = load.body.getReader();
      await reader.read();
      await sleep(200);
      const began = Date.now();
      other.signal('SIGTERM');
      const answer = await waiting;
      assert.equal(answer.status, 200);
      assert.equal((await answer.json()).status, 'in_progress');
      const rows = (await (await held).text()).trim().split('\n')
        .filter((text) => text !== '');
      assert.ok(rows.length <= 1);
      let bytes = 0;
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        bytes += value.length;
      }
      assert.ok(bytes > 4e6, `${bytes} bytes came after the signal`);
      assert.equal((await other.exited).code, 0);
      assert.ok(Date.now() - began < 20_000);
      await stack.call('POST', `/v1/batches/${slow}/cancel`);
      await ended(slow);
    });

  test('without Redis what has ended can be read, and nothing is denied',
    timed, async () => {
      const unknown = 'batch_0199f6a2-5c1e-7abc-9def-0123456789ab';
      await sleep(1500); // the keeper takes the last ones to the store
      await stack.redis.stop();
      await until(async () => (await stack.call('GET',
        `/v1/batches/${unknown}`)).status === 503, { what: 'the outage' });
      const batch = await stack.call('GET', `/v1/batches/${id}`);
      assert.equal(batch.status, 200, batch.text);
      assert.equal(batch.json.counts.succeeded, ROWS);
      const { text } = await stack.call('GET', `/v1/batches/${id}${results}`);
      assert.equal(text.trimEnd().split('\n').length, ROWS);
      const claude = await stack.call('GET',
        `/v1/messages/batches/${id}${results}`);
      assert.equal(claude.status, 200);
      for (const [method, path] of [['GET', '/v1/batches'],
        ['GET', `/v1/messages/batches/${unknown}`],
        ['POST', `/v1/batches/${unknown}/cancel`],
        ['DELETE', `/v1/batches/${id}`]]) {
        const answer = await stack.call(method, path);
        assert.equal(answer.status, 503, `${method} ${path}`);
        assert.ok(answer.headers.get('retry-after'));
      }
    });
});
