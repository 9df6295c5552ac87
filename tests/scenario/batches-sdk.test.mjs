// Claude's Message Batches API on our queue: the official SDK, written for
// the real one, with only its base URL changed. One origin (longhaul serve),
// real workers, the simulator behind them.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { bin, CANARY, startProcess, startStack, stopAll, tmpdir, until }
  from './lib/index.mjs';

const FAST = { LONGHAUL_RETRY_BASE: '20ms', LONGHAUL_RETRY_CAP: '200ms' };
const timed = { timeout: 60_000 };

// Keys of two tenants, as the SDK sends them: the one in authorization, the
// older one in x-api-key.
const keyOf = (name) => `lh_${createHash('sha256')
  .update(`${CANARY} ${name}`).digest('base64url')}`;
const keysFile = (...names) => {
  const file = join(tmpdir(), 'keys');
  writeFileSync(file, names.map((name) => `${name} ${createHash('sha256')
    .update(keyOf(name)).digest('hex')} submit,read\n`).join(''));
  chmodSync(file, 0o600);
  return file;
};

const params = (model = 'mock-ok', more = {}) => ({ model, max_tokens: 64,
  messages: [{ role: 'user', content: `${CANARY}: hello` }], ...more });
const request = (custom_id, model, more) =>
  ({ custom_id, params: params(model, more) });

describe('the official SDK on batches', () => {
  let stack, origin, client, older, stranger;

  before(async () => {
    stack = await startStack({ workerEnv: FAST,
      env: { LONGHAUL_KEYS_FILE: keysFile('app', 'other') } });
    const serve = await startProcess(bin('longhaul'), { name: 'longhaul-serve',
      args: ['serve', '--die-with-parent'], cwd: stack.dir,
      env: { ...stack.env, LONGHAUL_LISTEN: '127.0.0.1:0' },
      waitFor: /^ready (http:\S+)$/m });
    origin = serve.match[1];
    await until(async () => (await fetch(`${origin}/readyz`)).status === 200,
      { what: 'readiness of serve' });
    const options = { baseURL: origin, apiKey: keyOf('app'), maxRetries: 0 };
    client = new Anthropic(options);
    stranger = new Anthropic({ ...options, apiKey: keyOf('other') });
    older = new Anthropic({ ...options,
      defaultHeaders: { 'anthropic-version': '2023-06-01',
        authorization: null, 'x-api-key': keyOf('app') } });
  }, timed);
  after(stopAll);

  const ask = (path, headers = {}) => fetch(`${origin}${path}`,
    { headers: { 'x-api-key': keyOf('app'), ...headers } });

  const ended = (batches, id) => until(async () => {
    const batch = await batches.retrieve(id);
    return batch.processing_status === 'ended' ? batch : null;
  }, { timeoutMs: 20_000, everyMs: 50, what: `the end of ${id}` });

  const collect = async (stream) => {
    const all = new Map();
    for await (const row of stream) {
      assert.ok(!all.has(row.custom_id), `${row.custom_id} comes once`);
      all.set(row.custom_id, row.result);
    }
    return all;
  };

  const same = async (batches) => {
    const made = await batches.create({ requests: [
      request('a'), request('b', 'mock-max-tokens'), request('c', 'mock-400'),
      request('d', 'mock-529-twice'),
      { custom_id: 'e', params: { model: 'mock-ok', max_tokens: 0,
        messages: [] } }] });
    assert.match(made.id, /^msgbatch_[0-9a-f-]{36}$/);
    assert.equal(made.type, 'message_batch');
    assert.equal(made.processing_status, 'in_progress');
    assert.deepEqual(made.request_counts, { processing: 5, succeeded: 0,
      errored: 0, canceled: 0, expired: 0 });
    assert.equal(made.results_url, null);
    assert.equal(made.ended_at, null);
    assert.equal(Date.parse(made.expires_at) - Date.parse(made.created_at),
      24 * 3600 * 1000);
    const batch = await ended(batches, made.id);
    assert.deepEqual(batch.request_counts, { processing: 0, succeeded: 3,
      errored: 2, canceled: 0, expired: 0 });
    assert.ok(Date.parse(batch.ended_at) >= Date.parse(batch.created_at));
    assert.equal(batch.results_url,
      `${origin}/v1/messages/batches/${made.id}/results`);
    const results = await collect(await batches.results(made.id));
    assert.deepEqual([...results.keys()].sort(), ['a', 'b', 'c', 'd', 'e']);
    assert.equal(results.get('a').type, 'succeeded');
    assert.equal(results.get('a').message.type, 'message');
    assert.equal(results.get('b').message.stop_reason, 'max_tokens');
    for (const id of ['c', 'e']) {
      const { type, error } = results.get(id);
      assert.equal(type, 'errored');
      assert.equal(error.type, 'error');
      assert.equal(error.error.type, 'invalid_request_error');
      assert.ok(error.error.message.length > 0);
    }
    assert.equal(results.get('d').type, 'succeeded');
    return made.id;
  };

  test('create, retrieve and results of a batch of all sorts', timed,
    () => same(client.messages.batches));

  test('the same through client.beta and the older headers', timed,
    async () => {
      await same(older.beta.messages.batches);
      await same(older.messages.batches);
    });

  test('sampling fields are for the older version', timed, async () => {
    const requests = [request('t', 'mock-ok', { temperature: 0.5 })];
    const outcome = async (sdk) => {
      const { id } = await sdk.messages.batches.create({ requests });
      await ended(sdk.messages.batches, id);
      return (await collect(await sdk.messages.batches.results(id))).get('t');
    };
    assert.equal((await outcome(older)).type, 'succeeded');
    const refused = await outcome(client);
    assert.equal(refused.type, 'errored');
    assert.equal(refused.error.error.type, 'invalid_request_error');
  });

  test('a list is paged by the SDK, newest first, in both directions', timed,
    async () => {
      const made = [];
      for (let i = 0; i < 7; i++) {
        const { id } = await client.messages.batches.create(
          { requests: [request(`r-${i}`)] });
        made.unshift(id);
      }
      const seen = [];
      for await (const batch of client.messages.batches.list({ limit: 3 })) {
        assert.equal(batch.type, 'message_batch');
        seen.push(batch.id);
      }
      assert.equal(new Set(seen).size, seen.length, 'none comes twice');
      assert.deepEqual(seen.slice(0, 7), made);
      const page = await client.messages.batches.list(
        { limit: 2, before_id: made[5] });
      assert.deepEqual(page.data.map((b) => b.id), [made[3], made[4]]);
      assert.ok(page.has_more);
      const newer = [];
      for await (const batch of client.messages.batches.list(
        { limit: 2, before_id: made[6] })) newer.push(batch.id);
      assert.deepEqual(newer.sort(), made.slice(0, 6).sort());
      // What SDKs before the beta path went append to every path.
      for (const path of ['?beta=true&limit=1&more=1', `/${made[0]}?beta=true`]) {
        assert.equal((await ask(`/v1/messages/batches${path}`)).status, 200);
      }
    });

  test('cancel leaves what was answered and ends the rest', timed,
    async () => {
      const batches = client.messages.batches;
      const made = await batches.create({ requests: [
        request('quick-1'), request('quick-2'),
        ...Array.from({ length: 20 }, (_, i) =>
          request(`slow-${i}`, 'mock-slow-30s'))] });
      await until(async () => (await batches.retrieve(made.id))
        .longhaul.counts.succeeded === 2, { what: 'two answers' });
      const canceling = await batches.cancel(made.id);
      assert.equal(canceling.processing_status, 'canceling');
      assert.ok(canceling.cancel_initiated_at);
      assert.equal(canceling.request_counts.processing, 22);
      const batch = await ended(batches, made.id);
      assert.deepEqual(batch.request_counts, { processing: 0, succeeded: 2,
        errored: 0, canceled: 20, expired: 0 });
      const results = await collect(await batches.results(made.id));
      assert.equal(results.get('quick-1').type, 'succeeded');
      assert.deepEqual(results.get('slow-7'), { type: 'canceled' });
      await assert.rejects(batches.cancel(made.id), (error) =>
        error instanceof Anthropic.BadRequestError
        && error.headers.get('x-should-retry') === 'false');
    });

  test('delete, and what is gone is a NotFoundError', timed, async () => {
    const batches = client.messages.batches;
    const { id } = await batches.create({ requests: [
      request('x'), request('y', 'mock-slow-1s')] });
    await assert.rejects(batches.delete(id), Anthropic.BadRequestError);
    await ended(batches, id);
    assert.deepEqual(await batches.delete(id),
      { id, type: 'message_batch_deleted' });
    for (const call of [() => batches.retrieve(id), () => batches.results(id),
      () => batches.cancel(id), () => batches.delete(id)]) {
      await assert.rejects(call(), (error) => {
        assert.ok(error instanceof Anthropic.NotFoundError);
        assert.equal(error.error.error.type, 'not_found_error');
        assert.match(error.requestID, /^req_/);
        return true;
      });
    }
    for await (const batch of batches.list()) assert.notEqual(batch.id, id);
    const other = await ask(`/v1/batches/${id.replace('msgbatch', 'batch')}`);
    assert.equal(other.status, 410, 'the native face tells it from unknown');
  });

  test('a batch is not there for another key', timed, async () => {
    const { id } = await client.messages.batches.create(
      { requests: [request('mine', 'mock-slow-1s')] });
    const theirs = stranger.messages.batches;
    for (const call of [() => theirs.retrieve(id), () => theirs.results(id),
      () => theirs.cancel(id), () => theirs.delete(id)]) {
      await assert.rejects(call(), Anthropic.NotFoundError);
    }
    assert.deepEqual((await theirs.list()).data, []);
    const nobody = new Anthropic({ baseURL: origin, maxRetries: 0,
      apiKey: keyOf('nobody') });
    await assert.rejects(nobody.messages.batches.retrieve(id),
      Anthropic.AuthenticationError);
    assert.equal((await ended(client.messages.batches, id))
      .request_counts.succeeded, 1);
  });

  test('faults of the envelope are errors at once', timed, async () => {
    const batches = client.messages.batches;
    for (const requests of [[], [request('a'), request('a')],
      [request('no blanks')], [{ params: params() }]]) {
      await assert.rejects(batches.create({ requests }), (error) => {
        assert.ok(error instanceof Anthropic.BadRequestError);
        assert.equal(error.error.type, 'error');
        assert.equal(error.error.error.type, 'invalid_request_error');
        return true;
      });
    }
    await assert.rejects(batches.retrieve('msgbatch_no-such'),
      Anthropic.NotFoundError);
    await assert.rejects(batches.retrieve(
      'msgbatch_0199f6a2-5c1e-7abc-9def-0123456789ab'),
    Anthropic.NotFoundError);
    await assert.rejects(batches.list({ limit: 1001 }).then(),
      Anthropic.BadRequestError);
  });

  test('results before the end are refused, and not tried again', timed,
    async () => {
      const { id } = await client.messages.batches.create(
        { requests: [request('s', 'mock-slow-1s')] });
      const early = await ask(`/v1/messages/batches/${id}/results`);
      assert.equal(early.status, 400);
      assert.equal(early.headers.get('x-should-retry'), 'false');
      const error = await early.json();
      assert.equal(error.error.type, 'invalid_request_error');
      assert.equal(early.headers.get('request-id'), error.request_id);
      await assert.rejects(client.messages.batches.results(id),
        /results/);
      await ended(client.messages.batches, id);
    });

  test('results_url stays on the configured origin, whatever Host says',
    timed, async () => {
      const made = await client.messages.batches.create(
        { requests: [request('o')] });
      await ended(client.messages.batches, made.id);
      const port = new URL(origin).port;
      const answer = await ask(`/v1/messages/batches/${made.id}`, {
        host: `localhost:${port}`, 'x-forwarded-host': 'evil.example',
        'x-forwarded-proto': 'https', forwarded: 'host=evil.example' });
      assert.equal(answer.status, 200);
      assert.equal((await answer.json()).results_url,
        `${origin}/v1/messages/batches/${made.id}/results`);
    });

  test('the lines of results: LF only, none of them blank', timed,
    async () => {
      const { id } = await client.messages.batches.create({ requests:
        Array.from({ length: 300 }, (_, i) => request(`n-${i}`)) });
      await ended(client.messages.batches, id);
      const answer = await ask(`/v1/messages/batches/${id}/results`,
        { accept: 'application/binary' });
      const text = await answer.text();
      assert.ok(!text.includes('\r'));
      const lines = text.split('\n');
      assert.equal(lines.pop(), '', 'the last line ends too');
      assert.equal(lines.length, 300);
      assert.equal(new Set(lines.map((line) => JSON.parse(line).custom_id)).size,
        300);
    });
});
