// Batches on the native face while real workers work: live counts, results
// as they come, waiting, canceling, deleting, retrying what failed.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CANARY, sleep, startStack, stopAll, until } from './lib/index.mjs';

const FAST = { LONGHAUL_RETRY_BASE: '20ms', LONGHAUL_RETRY_CAP: '200ms' };
const timed = { timeout: 60_000 };
const UNKNOWN = '0199f6a2-5c1e-7abc-9def-0123456789ab';

describe('batches, natively', () => {
  let stack;
  before(async () => { stack = await startStack({ workerEnv: FAST }); }, timed);
  after(stopAll);

  const line = (custom_id, model = 'mock-ok') => JSON.stringify({ custom_id,
    params: { model, max_tokens: 64,
      messages: [{ role: 'user', content: `${CANARY}: hello` }] } });
  const rows = (count, model, name = 'r') =>
    Array.from({ length: count }, (_, i) => line(`${name}-${i}`, model));

  const create = async (lines, query = '', headers = {}) => {
    const answer = await fetch(`${stack.submitter.url}/v1/batches${query}`, {
      method: 'POST', body: `${lines.join('\n')}\n`,
      headers: { 'content-type': 'application/x-ndjson', ...headers } });
    const text = await answer.text();
    assert.equal(answer.status, 202, text);
    return JSON.parse(text);
  };
  const get = (id, query = '', headers) =>
    stack.call('GET', `/v1/batches/${id}${query}`, undefined, headers);
  const stream = async (id, what = 'results', query = '') => {
    const answer = await get(id, `/${what}${query}`);
    assert.equal(answer.status, 200, answer.text);
    assert.match(answer.headers.get('content-type'), /^application\/x-ndjson/);
    const lines = answer.text.split('\n');
    assert.equal(lines.pop(), '');
    return lines.map((text) => JSON.parse(text));
  };
  const ended = (id, timeoutMs = 20_000) => until(async () => {
    const { json } = await get(id, '?wait=5');
    return json.status === 'ended' ? json : null;
  }, { timeoutMs, what: `the end of ${id}` });
  const sum = (counts) =>
    Object.values(counts).reduce((total, count) => total + count, 0);

  test('counts are live, sum up, and the ETag follows them', timed,
    async () => {
      const made = await create([...rows(30), ...rows(10, 'mock-slow-2s', 's'),
        line('bad', 'mock-400')]);
      assert.match(made.id, /^batch_[0-9a-f-]{36}$/);
      assert.equal(made.accepted, 41);
      let last = -1;
      const seen = new Set();
      const batch = await until(async () => {
        const { json, headers } = await get(made.id);
        assert.equal(sum(json.counts), 41, JSON.stringify(json.counts));
        const done = json.counts.succeeded + json.counts.failed;
        assert.ok(done >= last, `${done} after ${last}`);
        last = done;
        seen.add(headers.get('etag'));
        return json.status === 'ended' ? json : null;
      }, { timeoutMs: 20_000, everyMs: 20, what: 'the end' });
      assert.ok(seen.size > 2, `${seen.size} different ETags`);
      assert.deepEqual(batch.counts, { queued: 0, running: 0, retrying: 0,
        succeeded: 40, failed: 1, canceled: 0, expired: 0 });
      assert.ok(batch.usage.input_tokens > 0);
      assert.ok(batch.usage.output_tokens > 0);
      assert.ok(batch.ended_at);
      assert.equal(batch.seconds_left, 0);
      const again = await get(made.id);
      const same = await get(made.id, '', { 'if-none-match':
        again.headers.get('etag') });
      assert.equal(same.status, 304);
    });

  test('a wait ends with the batch, and with a change if one is named', timed,
    async () => {
      const { id } = await create([...rows(1, 'mock-slow-1s', 'a'),
        ...rows(1, 'mock-slow-3s', 'b')]);
      const first = await get(id);
      const began = Date.now();
      const changed = await get(id, '?wait=20',
        { 'if-none-match': first.headers.get('etag') });
      assert.equal(changed.status, 200);
      assert.notEqual(changed.headers.get('etag'), first.headers.get('etag'));
      assert.ok(Date.now() - began < 2500);
      const many = await Promise.all(Array.from({ length: 20 }, () =>
        get(id, '?wait=20')));
      for (const answer of many) assert.equal(answer.json.status, 'ended');
      assert.ok(Date.now() - began < 8000);
      assert.equal((await get(id, '?wait=56')).status, 400);
      const prefer = await get(id, '', { prefer: 'wait=5' });
      assert.equal(prefer.headers.get('preference-applied'), 'wait=5');
    });

  test('results come as they are committed, and resume behind a seq', timed,
    async () => {
      const { id } = await create([...rows(20), ...rows(3, 'mock-slow-2s', 's')]);
      await until(async () => (await get(id)).json.counts.succeeded >= 20,
        { what: 'twenty' });
      const early = await stream(id);
      assert.equal(early.length, 20);
      const seqs = early.map((row) => row.seq);
      assert.deepEqual(seqs, [...seqs].sort((a, b) => a - b));
      const rest = await stream(id, 'results', `?after=${seqs[4]}`);
      assert.deepEqual(rest.slice(0, 15), early.slice(5));
      const late = await stream(id, 'results', `?after=${seqs[19]}&wait=20`);
      assert.equal(late.length, 3, 'held open until the end');
      const all = await stream(id);
      assert.equal(new Set(all.map((row) => row.custom_id)).size, 23);
      const [row] = all;
      assert.equal(row.status, 'succeeded');
      assert.equal(row.result.type, 'succeeded');
      assert.equal(row.result.message.type, 'message');
      assert.equal(row.generation, 0);
      assert.equal(row.usage.output_tokens, row.result.message.usage.output_tokens);
      assert.equal(typeof row.model, 'string');
      const job = await stack.job(row.job_id);
      assert.equal(job.batch_id, id);
      assert.equal(job.custom_id, row.custom_id);
      assert.equal((await get(id, '/results?after=x')).status, 400);
      assert.equal((await get(id, '/results?aftr=1')).status, 400);
      assert.deepEqual(await stream(id, 'results', `?after=${all.at(-1).seq}`), []);
    });

  test('rows arrive while the stream is held open', timed, async () => {
    const { id } = await create([...rows(2), ...rows(1, 'mock-slow-2s', 's')]);
    const answer = await fetch(
      `${stack.status.url}/v1/batches/${id}/results?wait=30`);
    const times = [];
    let text = '';
    for await (const part of answer.body) {
      const piece = Buffer.from(part).toString();
      text += piece;
      times.push(...piece.split('\n').slice(1).map(() => Date.now()));
    }
    assert.equal(text.trim().split('\n').length, 3);
    assert.ok(times[2] - times[0] > 1000, 'the slow one came by itself');
  });

  test('items and rejected lines, while it runs and after its end', timed,
    async () => {
      const made = await create([line('a'), 'no json', line('b'),
        line('a'), '{"custom_id":"c"}', line('d', 'mock-slow-2s')]);
      assert.equal(made.accepted, 3);
      assert.equal(made.rejected, 3);
      assert.deepEqual(made.errors.map((error) => error.line), [2, 4, 5]);
      const open = await stream(made.id, 'items');
      assert.deepEqual(open.map((item) => [item.index, item.custom_id]),
        [[0, 'a'], [1, 'b'], [2, 'd']]);
      assert.deepEqual(await stream(made.id, 'items', '?after=1'), [open[2]]);
      const errors = await stream(made.id, 'errors');
      assert.deepEqual(errors, made.errors);
      assert.deepEqual(await stream(made.id, 'errors', '?after=2'),
        errors.slice(1));
      await ended(made.id);
      const closed = await stream(made.id, 'items');
      assert.deepEqual(new Set(closed.map((item) => item.job_id)),
        new Set(open.map((item) => item.job_id)));
      assert.deepEqual(await stream(made.id, 'errors'), errors);
      // When the batch has left Redis the store has them.
      await sleep(1500);
      assert.deepEqual(await stream(made.id, 'errors'), errors);
      assert.equal((await stream(made.id, 'items')).length, 3);
      assert.equal((await stream(made.id, 'items', '?after=1')).length, 1);
    });

  test('cancel half-way: some succeeded, the rest is canceled', timed,
    async () => {
      const { id } = await create([...rows(25), ...rows(600, 'mock-slow-30s', 's')]);
      await until(async () => (await get(id)).json.counts.succeeded === 25,
        { what: 'the quick ones' });
      const canceling = await stack.call('POST', `/v1/batches/${id}/cancel`);
      assert.equal(canceling.status, 202);
      assert.equal(canceling.json.status, 'canceling');
      assert.equal((await stack.call('POST', `/v1/batches/${id}/cancel`)).status,
        202, 'asked twice');
      const batch = await ended(id);
      assert.equal(batch.counts.succeeded, 25);
      assert.equal(batch.counts.canceled, 600);
      const all = await stream(id);
      assert.equal(all.length, 625);
      assert.deepEqual(all.find((row) => row.custom_id === 's-7').result,
        { type: 'canceled' });
      const late = await stack.call('POST', `/v1/batches/${id}/cancel`);
      assert.equal(late.status, 409);
      assert.equal(late.headers.get('x-should-retry'), 'false');
    });

  test('retry-failed leaves an ended batch as it is; its rows follow', timed,
    async () => {
      const { id } = await create([...rows(3), ...rows(5, 'mock-400', 'f')]);
      const before = await ended(id);
      assert.equal(before.counts.failed, 5);
      const all = await stream(id);
      const letters = (await stack.call('GET',
        `/v1/dead-letters?batch=${id}`)).json.data;
      assert.equal(letters.length, 5);
      const retry = await stack.call('POST', `/v1/batches/${id}/retry-failed`);
      assert.equal(retry.status, 202, retry.text);
      assert.equal(retry.json.action, 'replay');
      assert.equal(retry.json.eligible, 5);
      assert.equal(retry.json.filter.batch, id);
      await until(async () => {
        const { json } = await stack.call('GET',
          `/v1/operations/${retry.json.id}`);
        return json.status === 'succeeded' && json.done === 5;
      }, { timeoutMs: 20_000, what: 'the operation' });
      const more = await until(async () => {
        const found = await stream(id, 'results', `?after=${all.at(-1).seq}`);
        return found.length === 5 ? found : null;
      }, { what: 'five new rows' });
      for (const row of more) {
        assert.equal(row.generation, 1);
        assert.match(row.custom_id, /^f-/);
      }
      const { json } = await get(id);
      assert.deepEqual(json.counts, before.counts);
      assert.equal(json.ended_at, before.ended_at);
      const claude = await stack.call('GET',
        `/v1/messages/batches/${id}/results`);
      assert.equal(claude.text.trim().split('\n').length, 8,
        'the other face has what was so at the end');
      assert.equal((await stack.call('POST',
        `/v1/batches/${id}/retry-failed?rate=0`)).status, 400);
    });

  test('a retry while the batch runs is part of it', timed, async () => {
    const { id } = await create([line('f', 'mock-400'),
      line('s', 'mock-slow-3s')]);
    await until(async () => (await get(id)).json.counts.failed === 1,
      { what: 'the failed one' });
    const retry = await stack.call('POST', `/v1/batches/${id}/retry-failed`);
    assert.equal(retry.status, 202);
    const batch = await ended(id);
    assert.deepEqual([batch.counts.succeeded, batch.counts.failed], [1, 1]);
    const all = await stream(id);
    assert.deepEqual(all.map((row) => [row.custom_id, row.generation]).sort(),
      [['f', 0], ['f', 1], ['s', 0]]);
    const claude = await stack.call('GET', `/v1/messages/batches/${id}/results`);
    const lines = claude.text.trim().split('\n').map((text) => JSON.parse(text));
    assert.equal(lines.length, 2, 'one line an item');
  });

  test('delete: only after the end, then 410 and out of every list', timed,
    async () => {
      const { id } = await create([line('x'), line('y', 'mock-slow-1s')]);
      assert.equal((await stack.call('DELETE', `/v1/batches/${id}`)).status, 409);
      await ended(id);
      const [row] = await stream(id);
      assert.equal((await stack.call('DELETE', `/v1/batches/${id}`)).status, 204);
      const gone = async () => {
        for (const path of ['', '/results', '/items', '/errors']) {
          assert.equal((await get(id, path)).status, 410, path);
        }
        assert.equal((await stack.call('POST', `/v1/batches/${id}/cancel`)).status,
          410);
        assert.equal((await stack.call('POST',
          `/v1/batches/${id}/retry-failed`)).status, 410);
        const { json } = await stack.call('GET', '/v1/batches?limit=1000');
        assert.ok(!json.data.some((batch) => batch.id === id));
      };
      await gone();
      await until(async () => [404, 410].includes(
        (await stack.call('GET', `/v1/jobs/${row.job_id}`)).status),
      { what: 'the erasure of its jobs' });
      await gone();
    });

  test('ids that are not known, or not of the right form', timed, async () => {
    for (const id of ['batch_x', `job_${UNKNOWN}`, UNKNOWN,
      `batch_${UNKNOWN}x`, `batch_${UNKNOWN}`, `msgbatch_${UNKNOWN}`,
      `BATCH_${UNKNOWN}`, 'batch_%2e%2e']) {
      for (const face of ['/v1/batches', '/v1/messages/batches']) {
        for (const tail of ['', '/results']) {
          const answer = await stack.call('GET', `${face}/${id}${tail}`);
          assert.equal(answer.status, 404, `${face}/${id}${tail}`);
          assert.equal(answer.json.error.type, 'not_found_error');
        }
        assert.equal((await stack.call('POST', `${face}/${id}/cancel`)).status,
          404);
        assert.equal((await stack.call('DELETE', `${face}/${id}`)).status, 404);
      }
      assert.equal((await stack.call('POST',
        `/v1/batches/${id}/retry-failed`)).status, 404);
    }
  });

  test('both faces read what was made on the other', timed, async () => {
    const { id } = await create([line('n')]);
    await ended(id);
    const claude = await stack.call('GET',
      `/v1/messages/batches/${id.replace('batch_', 'msgbatch_')}`);
    assert.equal(claude.json.type, 'message_batch');
    assert.equal(claude.json.request_counts.succeeded, 1);
    const native = await get(claude.json.id);
    assert.equal(native.json.id, id);
  });

  test('lists: by label and state, page by page, and jobs of a batch', timed,
    async () => {
      const made = [];
      for (let i = 0; i < 5; i++) {
        made.unshift((await create([line('l', i === 4 ? 'mock-slow-5s' : 'mock-ok')],
          '?run=nightly.1')).id);
      }
      await create([line('other')], '?run=nightly.2');
      for (const id of made.slice(1)) await ended(id);
      const list = async (query) =>
        (await stack.call('GET', `/v1/batches?${query}`)).json;
      const seen = [];
      let cursor = '';
      for (;;) {
        const page = await list(`run=nightly.1&limit=2${cursor}`);
        seen.push(...page.data.map((batch) => batch.id));
        for (const batch of page.data) assert.equal(sum(batch.counts), 1);
        if (!page.has_more) break;
        cursor = `&after_id=${page.last_id}`;
      }
      assert.deepEqual(seen, made);
      const open = await list('run=nightly.1&status=in_progress');
      assert.deepEqual(open.data.map((batch) => batch.id), [made[0]]);
      const closed = await list('run=nightly.1&status=ended');
      assert.deepEqual(closed.data.map((batch) => batch.id), made.slice(1));
      assert.equal((await stack.call('GET', '/v1/batches?status=done')).status, 400);
      assert.equal((await stack.call('GET', '/v1/batches?rnu=1')).status, 400);
      assert.equal((await stack.call('GET', '/v1/batches?after_id=7')).status, 400);

      const big = await create([...rows(40), ...rows(5, 'mock-slow-3s', 's')]);
      await until(async () => (await get(big.id)).json.counts.succeeded === 40,
        { what: 'forty' });
      const ids = [];
      cursor = '';
      for (;;) {
        const page = (await stack.call('GET',
          `/v1/jobs?batch=${big.id}&limit=7${cursor}`)).json;
        for (const job of page.data) assert.equal(job.batch_id, big.id);
        ids.push(...page.data.map((job) => job.id));
        if (!page.has_more) break;
        cursor = `&after_id=${page.last_id}`;
      }
      assert.equal(ids.length, 45);
      assert.equal(new Set(ids).size, 45);
      const running = (await stack.call('GET',
        `/v1/jobs?batch=${big.id}&status=running,queued`)).json;
      assert.equal(running.data.length, 5);
    });
});
