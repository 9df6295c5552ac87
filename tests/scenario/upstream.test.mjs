// The wire to Claude: TLS with a certificate that must be trusted, HTTP/2
// where it is offered, and peers that break it in every way.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createSecureServer } from 'node:http2';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { freePort, startStack, stopAll, tmpdir, until }
  from './lib/index.mjs';

const FAST = { LONGHAUL_RETRY_BASE: '20ms', LONGHAUL_RETRY_CAP: '100ms' };
const MESSAGE = JSON.stringify({ id: 'msg_1', type: 'message',
  role: 'assistant', model: 'claude-haiku-5-5',
  content: [{ type: 'text', text: 'Yes.' }], stop_reason: 'end_turn',
  stop_sequence: null, usage: { input_tokens: 1000000, output_tokens: 200 } });

describe('TLS', () => {
  let stack;
  let server;
  let ca;
  const seen = { versions: [], sessions: 0 };
  after(async () => { server?.close(); await stopAll(); });

  test('a server with a certificate of its own starts', async () => {
    const dir = tmpdir();
    ca = join(dir, 'cert.pem');
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt',
      'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj',
      '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost',
      '-keyout', join(dir, 'key.pem'), '-out', ca], { stdio: 'ignore' });
    server = createSecureServer({ key: readFileSync(join(dir, 'key.pem')),
      cert: readFileSync(ca), allowHTTP1: true }, (request, response) => {
      seen.versions.push(request.httpVersion);
      request.resume();
      request.on('end', () => setTimeout(() => {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(MESSAGE);
      }, 50));
    });
    server.on('session', () => { seen.sessions++; });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    stack = await startStack({ workers: 0 });
  });

  const url = () => `https://localhost:${server.address().port}`;

  test('a certificate that nobody vouches for is not sent a prompt',
    async () => {
      const worker = await stack.startWorker(
        { ...FAST, ANTHROPIC_BASE_URL: url() });
      const id = await stack.submit('claude-haiku-5-5');
      await until(async () => (await stack.job(id)).error?.class === 'tls',
        { what: 'the refusal' });
      await stack.call('POST', `/v1/jobs/${id}/cancel`);
      const job = await stack.wait(id);
      await worker.stop();
      assert.equal(job.status, 'canceled');
      assert.equal(job.unknown_calls, 0);
      assert.deepEqual(seen.versions, []);
    });

  test('with LONGHAUL_CA_FILE it is trusted, and HTTP/2 carries many calls',
    async () => {
      await stack.startWorker(
        { ...FAST, ANTHROPIC_BASE_URL: url(), LONGHAUL_CA_FILE: ca });
      const ids = await Promise.all(Array.from({ length: 150 },
        () => stack.submit('claude-haiku-5-5')));
      const jobs = await stack.waitAll(ids, 30_000);
      assert.ok(jobs.every((job) => job.status === 'succeeded'));
      assert.ok(seen.versions.every((version) => version === '2.0'));
      assert.ok(seen.sessions <= 8, `${seen.sessions} connections`);
      // 1,000,000 tokens at 0.50 USD/MTok (a long prompt), 200 at 2.50.
      assert.equal(jobs[0].cost_usd, '0.500500');
    });
});

/** A server that sends `bytes` after the request and then does `then`. */
function scripted(bytes, then) {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => {
      if (bytes) socket.write(bytes);
      if (then === 'close') socket.end();
      if (then === 'reset') setTimeout(() => socket.resetAndDestroy(), 20);
    });
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}

describe('peers that break the wire', () => {
  const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n';
  const cases = [
    ['cut in the head', 'HTTP/1.1 20', 'close', 'cut', 1],
    ['cut in the body', `${HEAD}content-length: 500\r\n\r\n${MESSAGE}`, 'close',
      'cut', 1],
    ['reset in the body', `${HEAD}content-length: 500\r\n\r\n{`, 'reset', 'cut', 1],
    ['closed without a word', '', 'close', 'cut', 1],
    ['not HTTP at all', '220 mail.example.com ESMTP\r\n', 'close', 'garbage', 1],
    ['an HTML page', `${HEAD.replace('application/json', 'text/html')
    }content-length: 6\r\n\r\n<html>`, 'close', 'garbage', 1],
    ['half a document', `${HEAD}content-length: 40\r\n\r\n${MESSAGE.slice(0, 40)}`,
      'close', 'garbage', 1],
    ['an empty 200', `${HEAD}content-length: 0\r\n\r\n`, 'close', 'empty', 1],
    ['silence', '', 'wait', 'timeout', 1],
    ['a body that never ends', `${HEAD}transfer-encoding: chunked\r\n\r\n1\r\n{\r\n`,
      'wait', 'timeout', 1],
  ];
  after(stopAll);

  for (const [name, bytes, then, cause, unknown] of cases) {
    test(`${name} is retried and told as ${cause}`, async () => {
      const server = await scripted(bytes, then);
      const stack = await startStack({ workerEnv: { ...FAST,
        ANTHROPIC_BASE_URL: `http://127.0.0.1:${server.address().port}` } });
      const job = await stack.wait(await stack.submit('claude-haiku-5-5',
        { longhaul: { max_attempts: 1, timeout: 1 } }));
      assert.equal(job.status, 'failed', JSON.stringify(job));
      assert.equal(job.error.class, cause, job.error.message);
      assert.equal(job.unknown_calls, unknown);
      server.close();
      await stopAll();
    });
  }

  test('nobody there, and a name that is none, are not attempts', async () => {
    const port = await freePort();
    for (const [url, cause] of [[`http://127.0.0.1:${port}`, 'network'],
      ['http://no-such-host.invalid', 'dns']]) {
      const stack = await startStack({
        workerEnv: { ...FAST, ANTHROPIC_BASE_URL: url } });
      const id = await stack.submit('claude-haiku-5-5',
        { longhaul: { max_attempts: 1 } });
      await until(async () => (await stack.job(id)).error?.class === cause,
        { what: cause });
      await stack.call('POST', `/v1/jobs/${id}/cancel`);
      const job = await stack.wait(id);
      assert.equal(job.status, 'canceled');
      assert.equal(job.attempts, 0);
      assert.equal(job.unknown_calls, 0);
      await stopAll();
    }
  });
});
