// Batches on their way in: what the submitter takes on both faces, what it
// refuses and how, what is stored, and what is left of an upload that breaks.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { bin, CANARY, root, sleep, startProcess, startProxy, startRedis, startStack,
  stopAll, tmpdir, until }
  from './lib/index.mjs';
import { redisClient } from './lib/redis-client.mjs';

const P = 'lh:{0}:';
const MARKER = '0199f6a2-5c1e-7abc-9def-0123456789ab real';
const MIB = 1024 * 1024;
const UUID =
  '[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}';

const params = (text = `Say hello, ${CANARY}.`) => ({
  model: 'claude-opus-5-5', max_tokens: 100,
  messages: [{ role: 'user', content: text }],
});
const item = (custom_id, text) => ({ custom_id, params: params(text) });
const items = (count) =>
  Array.from({ length: count }, (_, i) => item(`row-${i}`, `Row ${i}`));
const lines = (list) => list.map((x) =>
  typeof x === 'string' ? x : JSON.stringify(x)).join('\n');

async function startSubmitter(redis, { env = {}, args = [], dir = tmpdir() } = {}) {
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
  await until(async () => (await fetch(`${program.url}/readyz`)).status === 200,
    { what: 'readiness' });
  return program;
}

async function post(program, path, body, headers = {}) {
  const answer = await fetch(`${program.url}${path}`,
    { method: 'POST', headers, body, duplex: 'half' });
  const text = await answer.text();
  let json;
  try { json = JSON.parse(text); } catch { json = null; }
  return { status: answer.status, headers: answer.headers, json, text };
}

const claude = (program, body, headers = {}) => post(program,
  '/v1/messages/batches',
  typeof body === 'string' || body instanceof ReadableStream ? body
    : JSON.stringify(body),
  { 'content-type': 'application/json', ...headers });
const native = (program, body, { query = '', type = 'application/x-ndjson',
  headers = {} } = {}) => post(program, `/v1/batches${query}`,
  Array.isArray(body) ? lines(body) : body, { 'content-type': type, ...headers });

function refused(answer, status, type, pattern) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json.type, 'error');
  assert.equal(answer.json.error.type, type);
  assert.match(answer.json.error.message, pattern);
  assert.match(answer.json.request_id, /^req_/);
  assert.doesNotMatch(answer.text, new RegExp(CANARY));
}

/** A body that is sent bit by bit and may break off: a chunked request on a
 * socket. Returns { write, end, answer, destroy }. */
function chunkedPost(program, path, type, headers = '') {
  const socket = connect(Number(new URL(program.url).port), '127.0.0.1');
  let got = '';
  socket.on('data', (data) => { got += data; });
  socket.on('error', () => {});
  const closed = new Promise((resolve) => { socket.on('close', resolve); });
  socket.write(`POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n`
    + `Content-Type: ${type}\r\n${headers}Transfer-Encoding: chunked\r\n`
    + 'Connection: close\r\n\r\n');
  const write = (text) => new Promise((resolve) => {
    const bytes = Buffer.from(text);
    socket.write(`${bytes.length.toString(16)}\r\n`);
    socket.write(bytes);
    socket.write('\r\n', resolve);
  });
  return { write, socket,
    end: () => socket.write('0\r\n\r\n'),
    destroy: () => socket.destroy(),
    answer: async () => { await closed; return got; } };
}

describe('batch upload', () => {
  let redis;
  let client;
  let submitter;
  const text = async (...words) => (await client.command(...words))?.toString();
  const hash = async (key) => {
    const flat = await client.command('HGETALL', key);
    return Object.fromEntries(Array.from({ length: flat.length / 2 },
      (_, i) => [flat[2 * i].toString(), flat[2 * i + 1].toString()]));
  };
  // Counters stay; all else of an upload that failed has to go.
  const keys = async () => {
    while (Number((await advance())[1]) > 0);
    return (await client.command('KEYS', `${P}*`)).map(String)
      .filter((key) => !/:(bytes|unpromoted)$/.test(key)).sort();
  };
  const left = async (found) => {
    const before = new Set(found);
    return (await keys()).filter((key) => !before.has(key)).slice(0, 5);
  };
  // What a worker does with batches that were thrown away.
  const lua = (name) => readFileSync(join(root, `schema/redis/${name}.lua`), 'utf8');
  const advance = () => client.command('EVAL', lua('_prelude')
    + lua('batch_advance').replace(/^#!.*\n-- uses: prelude\n/, ''), 1, P, 500);
  const nothingLeft = (found) => until(async () =>
    (await left(found)).length === 0, { what: 'nothing is left' })
    .catch(async () => assert.deepEqual(await left(found), []));
  const ids = async (uuid) => (await client.command('LRANGE',
    `${P}batch:${uuid}:ids`, 0, -1)).map((x) => x.toString().split(' '));
  const uuidOf = (answer) => answer.json.id.replace(/^(msg)?batch_/, '');

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

  test('a batch as Claude takes it is answered as Claude does', async () => {
    const answer = await claude(submitter, { requests: items(3) });
    assert.equal(answer.status, 200, answer.text);
    const { json } = answer;
    assert.match(json.id, new RegExp(`^msgbatch_${UUID}$`));
    assert.equal(json.type, 'message_batch');
    assert.equal(json.processing_status, 'in_progress');
    assert.deepEqual(json.request_counts, { processing: 3, succeeded: 0,
      errored: 0, canceled: 0, expired: 0 });
    assert.equal(Date.parse(json.expires_at) - Date.parse(json.created_at),
      24 * 3600 * 1000);
    for (const key of ['ended_at', 'cancel_initiated_at', 'archived_at',
      'results_url']) assert.equal(json[key], null, key);
    assert.equal(answer.headers.get('content-type'), 'application/json');
    assert.match(answer.headers.get('request-id'), /^req_/);
    const batch = await hash(`${P}batch:${uuidOf(answer)}`);
    assert.equal(batch.st, 'open');
    assert.equal(batch.n, '3');
    assert.equal(batch.face, 'claude');
  });

  test('its items are jobs with the bytes that the client sent', async () => {
    const inner = '{ "max_tokens" : 7,\n "model":"claude-opus-5-5",'
      + '"temperature":0.70, "messages":[{"role":"user","content":"ü }]"}] }';
    const answer = await claude(submitter,
      `\n{ "requests" : [ {"params": ${inner} ,"custom_id":"a-1"} ]\n}\n`,
      { 'anthropic-version': '2023-06-01', 'anthropic-beta': 'x-1' });
    assert.equal(answer.status, 200, answer.text);
    const [[id, customId]] = await ids(uuidOf(answer));
    assert.equal(customId, 'a-1');
    const job = await hash(`${P}job:${id}`);
    assert.equal(job.req, inner);
    const meta = JSON.parse(job.meta);
    assert.equal(meta.h, createHash('sha256').update(inner).digest('hex'));
    assert.equal(meta.l, 'bulk');
    assert.equal(meta.v, '2023-06-01');
    assert.equal(meta.be, 'x-1');
    assert.equal(meta.mt, 7);
    assert.equal(job.q, 'bulk:opus-5-5');
  });

  test('however the body is cut, the same items are found', async () => {
    const body = JSON.stringify({ requests: [item('a', 'x'.repeat(300)),
      item('b', '"}],\\'), item('c', '💡')] });
    const bytes = Buffer.from(body);
    const upload = chunkedPost(submitter, '/v1/messages/batches',
      'application/json');
    for (let at = 0; at < bytes.length; at += 7)
      await upload.write(bytes.subarray(at, at + 7));
    upload.end();
    const answer = await upload.answer();
    assert.match(answer, /^HTTP\/1\.1 200 /);
    assert.match(answer, /"processing":3,/);
  });

  test('large requests are kept in parts, small beside them inline', async () => {
    const noise = Array.from({ length: 40_000 }, (_, i) =>
      createHash('sha256').update(String(i)).digest('base64')).join('');
    const answer = await claude(submitter, { requests: [item('small', 'x'),
      item('large', noise), item('pale', ' '.repeat(3 * MIB))] });
    assert.equal(answer.status, 200, answer.text);
    const list = await ids(uuidOf(answer));
    assert.deepEqual(list.map(([, name]) => name).sort(),
      ['large', 'pale', 'small']);
    const [large] = list.find(([, name]) => name === 'large');
    const meta = JSON.parse(await text('HGET', `${P}job:${large}`, 'meta'));
    assert.ok(meta.p >= 3);
    assert.equal(await client.command('HLEN', `${P}body:${large}`), meta.p);
    assert.equal(await client.command('ZCARD', `${P}staging`), 0);
    const [pale] = list.find(([, name]) => name === 'pale');
    assert.equal(JSON.parse(await text('HGET', `${P}job:${pale}`, 'meta')).z, 1);
  });

  // Items travel with submits then, on the submits' connections.
  test('an upload and submits beside it keep what both bring', async () => {
    const noise = Array.from({ length: 20_000 }, (_, i) =>
      createHash('sha256').update(`x${i}`).digest('hex')).join('');
    const all = [...items(500), item('large', noise), ...items(1000).slice(500)];
    const upload = chunkedPost(submitter, '/v1/batches', 'application/x-ndjson');
    let ended = false;
    const jobs = [];
    const submits = (async () => {
      while (!ended || jobs.length < 20) {
        const answer = await post(submitter, '/v1/jobs',
          JSON.stringify(params(`Job ${jobs.length}`)),
          { 'content-type': 'application/json' });
        assert.equal(answer.status, 202, answer.text);
        jobs.push(answer.json.id);
      }
    })();
    const body = lines(all);
    for (let at = 0; at < body.length; at += 50_000)
      await upload.write(body.slice(at, at + 50_000));
    upload.end();
    const answer = await upload.answer();
    ended = true;
    await submits;
    assert.match(answer, /^HTTP\/1\.1 202 /);
    assert.match(answer, /"accepted":1001,"rejected":0/);
    for (const id of jobs) assert.ok(await client.command('EXISTS', `${P}job:${id}`));
    const [, uuid] = answer.match(new RegExp(`"id":"batch_(${UUID})"`));
    const list = await ids(uuid);
    assert.equal(list.length, 1001);
    const [large] = list.find(([, name]) => name === 'large');
    const meta = JSON.parse(await text('HGET', `${P}job:${large}`, 'meta'));
    const parts = await hash(`${P}body:${large}`);
    assert.deepEqual(Object.keys(parts).map(Number).sort((a, b) => a - b),
      Array.from({ length: meta.p }, (_, i) => i));
    assert.equal(await client.command('ZCARD', `${P}staging`), 0);
  });

  test('no more than one group of an upload is on its way to Redis', async () => {
    const proxy = await startProxy(redis.socket);
    const slow = await startSubmitter(redis,
      { env: { LONGHAUL_REDIS_URL: proxy.url } });
    const staged = async () => Number(await text('GET', `${P}unpromoted`) ?? 0);
    const before = await staged();
    const upload = chunkedPost(slow, '/v1/batches', 'application/x-ndjson');
    await upload.write(`${lines(items(1))}\n`);
    await until(async () => await staged() === before + 1, { what: 'the first' });
    proxy.hold(() => true);
    await upload.write(lines(items(201).slice(1)));
    await until(async () => await staged() > before + 1, { what: 'the second' });
    await proxy.held;
    await sleep(200);
    assert.ok(await staged() <= before + 1 + 32, 'a group has 32 items at most');
    proxy.release();
    upload.end();
    assert.match(await upload.answer(), /"accepted":201,"rejected":0/);
    await slow.stop();
    proxy.close();
  });

  test('params that Claude would refuse become an error of their item', async () => {
    const answer = await claude(submitter, { requests: [
      item('good'),
      { custom_id: 'stream', params: { ...params(), stream: true } },
      { custom_id: 'none', params: { ...params(), max_tokens: 0 } },
      { custom_id: 'model', params: { ...params(), model: undefined } },
      { custom_id: 'empty', params: {} },
      { custom_id: 'short', params: { message: 'hi', model: 'm' } },
      { custom_id: 'fast', params: { ...params(), speed: 'fast' } },
      { custom_id: 'slow', params: { ...params(), speed: 'standard' } },
      { custom_id: 'plain', params: { ...params(), speed: null } },
      { custom_id: 'thread', params: { ...params(), thread: { id: 'x' } } },
    ] });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json.request_counts.processing, 10);
    const errors = {};
    for (const [id, name] of await ids(uuidOf(answer))) {
      const bad = await text('HGET', `${P}job:${id}`, 'bad');
      errors[name] = bad === undefined ? null : bad;
    }
    assert.equal(errors.good, null);
    assert.match(errors.stream, /stream: is not permitted in a batch/);
    assert.match(errors.none, /max_tokens: Input should be greater/);
    assert.match(errors.model, /model: Field required/);
    assert.match(errors.empty, /messages: is required/);
    assert.match(errors.short, /messages: Field required/);
    assert.match(errors.short, /invalid_request_error/);
    assert.match(errors.fast, /speed: Extra inputs are not permitted/);
    assert.match(errors.slow, /speed: Extra inputs are not permitted/);
    assert.equal(errors.plain, null);
    assert.match(errors.thread, /thread: Extra inputs are not permitted/);
  });

  test('what is wrong with the envelope is 400 and leaves nothing', async () => {
    const found = await keys();
    const good = JSON.stringify(item('a'));
    for (const [body, pattern] of [
      ['', /the document is empty/],
      ['{"requests":[]}', /requests: List should have at least 1 item/],
      ['{}', /requests: Field required/],
      [`{"requests":[${good}],"model":"x"}`, /model: Extra inputs/],
      [`{"requests":[${good},${good}]}`,
        /requests\.1\.custom_id: is the same as in requests\.0/],
      [`{"requests":[${good},{"custom_id":"a b","params":{}}]}`,
        /requests\.1\.custom_id: String should match pattern/],
      [`{"requests":[${good},{"params":{}}]}`,
        /requests\.1\.custom_id: Field required/],
      [`{"requests":[${good},{"custom_id":"b"}]}`,
        /requests\.1\.params: Field required/],
      [`{"requests":[{"custom_id":"b","params":7}]}`,
        /requests\.0\.params: Input should be an object/],
      [`{"requests":[${good},{"custom_id":"b","params":{},"x":1}]}`,
        /requests\.1\.x: Extra inputs/],
      [`{"requests":[${good},{"custom_id":"b","params":{]}]}`,
        /requests\.1: not a valid JSON object/],
      [`{"requests":[${good},{"custom_id":"b","params":{}`,
        /requests\.1: the body ended inside of it/],
      [`{"requests":[${good}`, /the document ends too early/],
      [`\ufeff{"requests":[${good}]}`, /byte order mark/],
    ]) refused(await claude(submitter, body), 400, 'invalid_request_error', pattern);
    const bad = Buffer.from(`{"requests":[${good}]}`.replace('Say', 'S\x01y'), 'latin1');
    bad[bad.indexOf(1)] = 0xff;
    refused(await post(submitter, '/v1/messages/batches', bad,
      { 'content-type': 'application/json' }), 400, 'invalid_request_error', /UTF-8/);
    await nothingLeft(found);
  });

  test('a batch or a request that is too large is 413', async () => {
    const found = await keys();
    const head = await new Promise((resolve) => {
      const socket = connect(submitter.port, '127.0.0.1');
      let got = '';
      socket.on('data', (data) => { got += data; });
      socket.on('close', () => resolve(got));
      socket.write('POST /v1/messages/batches HTTP/1.1\r\nHost: 127.0.0.1\r\n'
        + 'Content-Type: application/json\r\nConnection: close\r\n'
        + `Content-Length: ${256 * MIB + 1}\r\n\r\n`);
    });
    assert.match(head, /^HTTP\/1\.1 413 /);
    assert.match(head, /request_too_large/);
    const small = await startSubmitter(redis, { args: ['--max-body', '10KiB'] });
    refused(await claude(small, { requests: [item('a', 'x'.repeat(11_000))] }),
      413, 'request_too_large', /requests\.0: is larger than 10240 bytes/);
    await small.stop();
    await nothingLeft(found);
  });

  test('a create that is sent again gives the same batch', async () => {
    const body = JSON.stringify({ requests: items(2) });
    const first = await claude(submitter, body);
    const again = await claude(submitter, body,
      { 'x-stainless-retry-count': '1' });
    assert.equal(again.status, 200, again.text);
    assert.equal(again.json.id, first.json.id);
    assert.equal(again.json.request_counts.processing, 2);
    const other = await claude(submitter, body,
      { 'x-stainless-retry-count': '0' });
    assert.notEqual(other.json.id, first.json.id);
    const changed = await claude(submitter, { requests: items(1) },
      { 'x-stainless-retry-count': '2' });
    assert.notEqual(changed.json.id, first.json.id);
  });

  test('lines are taken, bad ones reported by their number', async () => {
    const answer = await native(submitter, [
      item('a'),
      '',
      '{"custom_id":"b","params":{"model":"m"',
      { message: 'hi', longhaul: { custom_id: 'c', lane: 'interactive' } },
      { custom_id: 'a', params: params() },
      { ...params(), longhaul: { tags: ['x'] } },
      { custom_id: 'd', params: params(), longhaul: { lane: 'standard', max_attempts: 2 } },
      { custom_id: 'e', params: params(), longhaul: { lane: 'fast' } },
      { custom_id: 'f', params: { ...params(), max_tokens: 'many' } },
      { custom_id: 'g h', params: params() },
      { params: params() },
      `{"message":"\xe9","longhaul":{"custom_id":"i"}}`,
      { custom_id: 'j', params: [] },
    ], { query: '?run=nightly-1' });
    assert.equal(answer.status, 202, answer.text);
    const { json, headers } = answer;
    assert.match(json.id, new RegExp(`^batch_${UUID}$`));
    assert.equal(json.type, 'batch');
    assert.equal(json.status, 'in_progress');
    assert.equal(json.run, 'nightly-1');
    assert.equal(json.accepted, 5);
    assert.equal(json.rejected, 7);
    assert.equal(json.counts.queued, 5);
    assert.equal(headers.get('location'), `${submitter.url}/v1/batches/${json.id}`);
    assert.equal(json.links.self, headers.get('location'));
    assert.match(headers.get('etag'), /^"v\d+"$/);
    assert.deepEqual(json.errors.map(({ line, custom_id }) => [line, custom_id]),
      [[3, 'b'], [5, 'a'], [8, 'e'], [9, 'f'], [10, null], [11, null], [13, 'j']]);
    const said = json.errors.map(({ message }) => message).join('\n');
    assert.match(said, /^not a valid JSON object: byte 38: /);
    assert.match(said, /\ncustom_id: is the same as in line 1\n/);
    assert.match(said, /\nlonghaul\.lane: expected/);
    assert.match(said, /\nmax_tokens: expected a whole number/);
    assert.match(said, /\ncustom_id: is required beside params\n/);
    const list = new Map((await ids(uuidOf(answer))).map(([id, name]) => [name, id]));
    assert.deepEqual([...list.keys()].sort(), ['a', 'c', 'd', 'i', 'line-6']);
    assert.equal(await text('HGET', `${P}job:${list.get('c')}`, 'q'),
      'interactive:sonnet-5-5');
    assert.equal(await text('HGET', `${P}job:${list.get('d')}`, 'q'),
      'standard:opus-5-5');
    assert.equal(JSON.parse(await text('HGET', `${P}job:${list.get('d')}`, 'meta')).ma, 2);
    assert.equal(await client.command('HLEN', `${P}batch:${uuidOf(answer)}:bad`)
      .catch(() => client.command('ZCARD', `${P}batch:${uuidOf(answer)}:bad`)), 7);
  });

  test('a query sets what its lines do not', async () => {
    const answer = await native(submitter, [{ message: 'hi' }], {
      query: '?lane=standard&model=claude-haiku-5-5&expires_in=1h&max_attempts=3' });
    assert.equal(answer.status, 202, answer.text);
    assert.equal(Date.parse(answer.json.expires_at)
      - Date.parse(answer.json.created_at), 3600_000);
    const [[id]] = await ids(uuidOf(answer));
    assert.equal(await text('HGET', `${P}job:${id}`, 'q'), 'standard:haiku-5-5');
    assert.equal(JSON.parse(await text('HGET', `${P}job:${id}`, 'meta')).ma, 3);
    refused(await native(submitter, [{ message: 'hi' }], { query: '?lan=bulk' }),
      400, 'invalid_request_error', /did you mean lane\?/);
    refused(await native(submitter, 'x', { type: 'application/json' }),
      415, 'invalid_request_error', /x-ndjson/);
  });

  test('strict takes all or nothing, and nothing but bad lines is nothing',
    async () => {
      const found = await keys();
      const list = [item('a'), '{', item('a'), item('b')];
      const strict = await native(submitter, list, { query: '?strict=1' });
      refused(strict, 422, 'invalid_request_error', /nothing was accepted/);
      assert.deepEqual(strict.json.errors.map(({ line }) => line), [2, 3]);
      const none = await native(submitter, ['x', 'y']);
      refused(none, 422, 'invalid_request_error', /Every line is bad/);
      assert.equal(none.json.rejected, 2);
      refused(await native(submitter, ''), 400, 'invalid_request_error', /no rows/);
      refused(await native(submitter, '\n\r\n  \n'), 400,
        'invalid_request_error', /no rows/);
      await nothingLeft(found);
      const fine = await native(submitter, [item('a')], { query: '?strict=1' });
      assert.equal(fine.status, 202, fine.text);
    });

  test('a line of 40 MB is skipped, its neighbours are not', async () => {
    const answer = await native(submitter, [item('a'),
      `{"message":"${'x'.repeat(40 * MIB)}"}`, item('b')]);
    assert.equal(answer.status, 202, answer.text);
    assert.equal(answer.json.accepted, 2);
    assert.deepEqual(answer.json.errors, [{ line: 2, custom_id: null,
      message: 'the line is longer than 33554432 bytes' }]);
  });

  test('a BOM and CRLF are no part of a line', async () => {
    const answer = await native(submitter,
      `\ufeff${JSON.stringify(item('a'))}\r\n${JSON.stringify(item('b'))}`);
    assert.equal(answer.status, 202, answer.text);
    assert.equal(answer.json.accepted, 2);
  });

  test('rows of CSV become requests by their template', async () => {
    const query = `?template=${encodeURIComponent('Sum up {{body}} of {{who}}')}`
      + `&system=${encodeURIComponent('Be brief.')}&id_column=id&max_tokens=55`
      + '&model=claude-haiku-5-5';
    const answer = await native(submitter, '\ufeffid,who,body\r\n'
      + 'r1,Ana,"one\ntwo ""x"""\r\n'
      + 'r2,Ben\r\n'
      + 'r 3,Cy,x\r\n'
      + 'r1,Di,y\r\n'
      + 'r4, ,\r\n'
      + 'r5,Eva,z', { query, type: 'text/csv' });
    assert.equal(answer.status, 202, answer.text);
    assert.deepEqual(answer.json.errors.map(({ line, custom_id }) =>
      [line, custom_id]), [[4, null], [5, null], [6, 'r1'], [7, 'r4']]);
    assert.equal(answer.json.errors[3].message,
      'the row is empty in every column that the template uses');
    assert.match(answer.json.errors[0].message, /^the row has 2 fields, the header has 3$/);
    const list = new Map((await ids(uuidOf(answer))).map(([id, name]) => [name, id]));
    assert.deepEqual([...list.keys()], ['r1', 'r5']);
    const request = JSON.parse(await text('HGET', `${P}job:${list.get('r1')}`, 'req'));
    assert.equal(request.max_tokens, 55);
    assert.equal(request.model, 'claude-haiku-5-5');
    assert.match(JSON.stringify(request.messages), /one\\ntwo \\"x\\"/);
    assert.match(JSON.stringify(request.system), /Be brief\./);
  });

  test('what a CSV lacks is named before a row is read', async () => {
    const found = await keys();
    const csv = (body, query) => native(submitter, body, { query, type: 'text/csv' });
    const t = (text) => `?template=${encodeURIComponent(text)}`;
    refused(await csv('a,b\n1,2', ''), 400, 'invalid_request_error',
      /template: is required/);
    refused(await csv('subject,b\n1,2', t('{{subjet}}')), 400,
      'invalid_request_error', /template: .*subjet.*subject/);
    refused(await csv('a,b\n1,2', `${t('{{a}}')}&id_column=c`), 400,
      'invalid_request_error', /id_column/);
    refused(await csv('a,b\n', t('{{a}}')), 400, 'invalid_request_error', /no rows/);
    refused(await csv('', t('{{a}}')), 400, 'invalid_request_error', /no rows/);
    // It would swallow the rows behind it, which nobody would miss.
    for (const rest of ['3,4\n', '3,4\n'.repeat(100_000)])
      refused(await csv(`a,b\n5,6\n1,"2\n${rest}`, t('{{a}}')), 400,
        'invalid_request_error', /row on line 3 .*it opens on line 3/);
    refused(await csv(`a\n${'x'.repeat(MIB)}\n`, t('{{a}}'.repeat(100))), 422,
      'invalid_request_error', /Every line is bad/);
    await nothingLeft(found);
  });

  test('the same key and upload give the same batch, another upload 422',
    async () => {
      const headers = { 'idempotency-key': 'key-1' };
      const first = await native(submitter, [item('a'), item('b')], { headers });
      assert.equal(first.status, 202, first.text);
      const again = await native(submitter, [item('a'), item('b')], { headers });
      assert.equal(again.status, 202, again.text);
      assert.equal(again.json.id, first.json.id);
      assert.equal(again.json.accepted, 2);
      assert.equal(again.headers.get('idempotent-replayed'), 'true');
      refused(await native(submitter, [item('a')], { headers }), 422,
        'invalid_request_error', /another upload/);
      refused(await native(submitter, [item('a'), item('b')],
        { headers, query: '?lane=standard' }), 422, 'invalid_request_error',
      /another upload/);
    });

  test('a client that leaves half-way leaves nothing behind', async () => {
    const found = await keys();
    const visible = await client.command('ZCARD', `${P}ids`);
    const half = JSON.stringify({ requests: items(400) }).slice(0, -300);
    const upload = chunkedPost(submitter, '/v1/messages/batches',
      'application/json');
    await upload.write(half);
    await upload.write(`{"custom_id":"large","params":{"a":"${'x'.repeat(MIB)}`);
    await until(async () => (await keys()).length >= found.length + 300,
      { what: 'staged items' });
    assert.equal(await client.command('ZCARD', `${P}ids`), visible);
    upload.destroy();
    await nothingLeft(found);
  });

  test('an upload that broke goes on with the same key', async () => {
    const headers = 'Idempotency-Key: key-2\r\n';
    const all = items(300);
    const upload = chunkedPost(submitter, '/v1/batches',
      'application/x-ndjson', headers);
    await upload.write(`${lines(all.slice(0, 200))}\n`);
    const before = (await keys()).length;
    await until(async () => Number(await client.command('GET', `${P}unpromoted`)
      ?? 0) >= 200 || (await keys()).length >= before, { what: 'staged items' });
    await sleep(300);
    upload.destroy();
    await sleep(100);
    const whole = await native(submitter, all, { headers: { 'idempotency-key': 'key-2' } });
    assert.equal(whole.status, 202, whole.text);
    assert.equal(whole.json.accepted, 300);
    assert.equal((await ids(uuidOf(whole))).length, 300);
    assert.equal(new Set((await ids(uuidOf(whole))).map(([id]) => id)).size, 300);
  });

  test('a broken upload of other rows is not mixed into a new one', async () => {
    const upload = chunkedPost(submitter, '/v1/batches',
      'application/x-ndjson', 'Idempotency-Key: key-3\r\n');
    await upload.write(`${lines([item('x'), item('y')])}\n`);
    await sleep(300);
    upload.destroy();
    await sleep(100);
    const headers = { 'idempotency-key': 'key-3' };
    refused(await native(submitter, [item('x')], { headers }), 422,
      'invalid_request_error', /another upload/);
    const fresh = await native(submitter, [item('x')], { headers });
    assert.equal(fresh.status, 202, fresh.text);
    assert.equal(fresh.json.accepted, 1);
  });

  test('nothing of an upload is seen when the submitter dies in it', async () => {
    const doomed = await startSubmitter(redis);
    const open = await client.command('ZCARD', `${P}batches`);
    const upload = chunkedPost(doomed, '/v1/batches', 'application/x-ndjson',
      'Idempotency-Key: key-4\r\n');
    const all = items(1000);
    await upload.write(`${lines(all.slice(0, 700))}\n`);
    await sleep(200);
    await doomed.kill();
    assert.equal(await client.command('ZCARD', `${P}batches`), open);
    assert.ok(await client.command('ZCARD', `${P}batches:staging`) >= 1);
    const whole = await native(submitter, all,
      { headers: { 'idempotency-key': 'key-4' } });
    assert.equal(whole.status, 202, whole.text);
    assert.equal(whole.json.accepted, 1000);
    assert.equal(await client.command('ZCARD', `${P}batches`), open + 1);
    assert.equal((await ids(uuidOf(whole))).length, 1000);
  });

  test('a full queue says so and keeps nothing', async () => {
    const found = await keys();
    const full = await startSubmitter(redis, { env: {
      LONGHAUL_MAX_QUEUED_JOBS: String(Number(await client.command('GET',
        `${P}unpromoted`)) + 50) } });
    const answer = await claude(full, { requests: items(100) });
    refused(answer, 429, 'rate_limit_error', /queue is full/);
    assert.match(answer.headers.get('retry-after'), /^\d+$/);
    await full.stop();
    await nothingLeft(found);
  });

  test('a batch of too many is 413', async () => {
    const open = await client.command('ZCARD', `${P}batches`);
    const over = { requests: Array.from({ length: 100_001 }, (_, i) =>
      ({ custom_id: `r${i}`, params: {} })) };
    refused(await claude(submitter, over), 413, 'request_too_large',
      /at most 100000 requests/);
    over.requests.pop();
    const most = await claude(submitter, over);
    assert.equal(most.status, 200, most.text);
    assert.equal(most.json.request_counts.processing, 100_000);
    assert.equal(await client.command('ZCARD', `${P}batches`), open + 1);
  });

  test('an upload waits for a Redis that is frozen for a moment', async () => {
    const upload = chunkedPost(submitter, '/v1/batches', 'application/x-ndjson');
    const all = items(400);
    await upload.write(`${lines(all.slice(0, 200))}\n`);
    redis.signal('SIGSTOP');
    await upload.write(`${lines(all.slice(200))}\n`);
    await sleep(3000);
    redis.signal('SIGCONT');
    upload.end();
    const answer = await upload.answer();
    assert.match(answer, /^HTTP\/1\.1 202 /);
    assert.match(answer, /"accepted":400,"rejected":0/);
  });
});

describe('batch upload, after the end', () => {
  let stack;
  let client;
  const headers = { 'idempotency-key': 'night-1' };
  const rows = Array.from({ length: 30 }, (_, i) => ({ custom_id: `row-${i}`,
    params: { ...params(`Row ${i}`), model: 'mock-ok' } }));
  const ended = (id) => until(async () => {
    const answer = await fetch(`${stack.status.url}/v1/batches/${id}`);
    const json = await answer.json();
    return json.status === 'ended' && json;
  }, { what: 'the end of the batch', timeoutMs: 20_000 });

  before(async () => {
    stack = await startStack();
    client = redisClient(stack.redis.socket);
  });
  after(async () => {
    client.close();
    await stopAll();
  });

  test('its key gives the same batch, from Redis and from the store', async () => {
    const first = await native(stack.submitter, rows, { headers });
    assert.equal(first.status, 202, first.text);
    const end = await ended(first.json.id);
    assert.deepEqual([end.accepted, end.counts.succeeded], [30, 30]);
    const again = await native(stack.submitter, rows, { headers });
    assert.equal(again.status, 202, again.text);
    assert.equal(again.json.id, first.json.id);
    // Until its keys leave Redis.
    await until(async () => await client.command('EXISTS',
      `${P}batch:${first.json.id.slice(6)}`) === 0, { what: 'its keys are gone',
      timeoutMs: 70_000 });
    const later = await native(stack.submitter, rows, { headers });
    assert.equal(later.status, 202, later.text);
    assert.equal(later.json.id, first.json.id);
    assert.equal(later.json.status, 'ended');
    assert.equal(later.json.counts.succeeded, 30);
    // A day later the record in Redis is gone as well.
    for (const key of await client.command('KEYS', `${P}bidem:*`))
      await client.command('DEL', key);
    const stored = await native(stack.submitter, rows, { headers });
    assert.equal(stored.status, 202, stored.text);
    assert.equal(stored.json.id, first.json.id);
    assert.equal(stored.headers.get('idempotent-replayed'), 'true');
    refused(await native(stack.submitter, rows.slice(1), { headers }), 422,
      'invalid_request_error', /another upload/);
    assert.equal(stack.claude.ends().length, 30);
    const gone = await fetch(`${stack.status.url}/v1/batches/${first.json.id}`,
      { method: 'DELETE' });
    assert.equal(gone.status, 204);
    refused(await native(stack.submitter, rows, { headers }), 410,
      'not_found_error', /was deleted/);
  });

  test('refused requests end as errored, without a call', async () => {
    const calls = stack.claude.ends().length;
    const answer = await claude(stack.submitter, { requests: [
      { custom_id: 'empty', params: {} },
      { custom_id: 'stream', params: { ...params(), stream: true } }] });
    assert.equal(answer.status, 200, answer.text);
    const end = await ended(answer.json.id);
    assert.equal(end.counts.failed, 2);
    const results = await fetch(
      `${stack.status.url}/v1/messages/batches/${answer.json.id}/results`);
    const found = (await results.text()).trim().split('\n').map(JSON.parse);
    assert.deepEqual(found.map(({ custom_id, result }) => [custom_id, result.type,
      result.error.error.type]).sort(), [
      ['empty', 'errored', 'invalid_request_error'],
      ['stream', 'errored', 'invalid_request_error']]);
    assert.equal(stack.claude.ends().length, calls);
  });

  test('an upload in hand is taken before the submitter ends', async () => {
    const upload = chunkedPost(stack.submitter, '/v1/batches',
      'application/x-ndjson');
    await upload.write(`${lines(rows.slice(0, 20))}\n`);
    await sleep(200);
    stack.submitter.signal('SIGTERM');
    await sleep(200);
    await upload.write(lines(rows.slice(20)));
    upload.end();
    const answer = await upload.answer();
    assert.match(answer, /^HTTP\/1\.1 202 /);
    assert.match(answer, /"accepted":30,/);
    assert.deepEqual(await stack.submitter.exited, { code: 0, signal: null });
  });
});
