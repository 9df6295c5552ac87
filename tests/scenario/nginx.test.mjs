// deploy/nginx: a real nginx with the shipped configuration (only addresses,
// ports and one time-out are replaced), between a client and two stand-ins.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePort } from './lib/index.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)),
  '../..');
const nginx = ['/usr/sbin/nginx', '/usr/local/sbin/nginx', '/usr/bin/nginx',
  '/usr/local/bin/nginx'].find((file) => fs.existsSync(file));
const readTimeoutS = 2;
const timed = { timeout: 15_000 };

// A backend that says who it is and what it saw. `backend.on` is what a test
// may replace; `backend.seen` counts request lines, answered or not.
async function startBackend(name) {
  const backend = { name, seen: [], on: null };
  backend.server = http.createServer((req, res) => {
    backend.seen.push(`${req.method} ${req.url}`);
    if (backend.on && backend.on(req, res)) return;
    const hash = createHash('sha256');
    let bytes = 0;
    req.on('data', (data) => { hash.update(data); bytes += data.length; });
    req.on('end', () => {
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify({ name, method: req.method, url: req.url, bytes,
        sha256: hash.digest('hex'), headers: req.headers }));
    });
  });
  await new Promise((resolve) =>
    backend.server.listen(0, '127.0.0.1', resolve));
  backend.port = backend.server.address().port;
  return backend;
}

function replaceOnce(text, from, to) {
  assert.ok(text.includes(from), `the configuration has no "${from}"`);
  return text.replaceAll(from, to);
}

describe('nginx in front of longhaul', {
  skip: nginx ? false : 'nginx is not installed (apt-get install nginx-light)',
}, () => {
  let dir, port, child, submitter, status;
  const mainFile = () => path.join(dir, 'nginx.conf');

  async function call(method, url, { body, headers } = {}) {
    return new Promise((resolve, reject) => {
      const req = http.request({ host: '127.0.0.1', port, method, path: url,
        headers, agent: false }, (res) => {
        const parts = [];
        res.on('data', (data) => parts.push(data));
        res.on('end', () => {
          const text = Buffer.concat(parts).toString();
          let json;
          try { json = JSON.parse(text); } catch { json = undefined; }
          resolve({ status: res.statusCode, headers: res.headers, text, json });
        });
        res.on('error', reject);
      });
      req.on('error', reject);
      req.end(body);
    });
  }

  before(async () => {
    dir = fs.mkdtempSync(path.join(os.tmpdir(), 'longhaul-nginx-'));
    fs.chmodSync(dir, 0o755); // nginx's workers leave root
    submitter = await startBackend('submitter');
    status = await startBackend('status');
    port = await freePort();
    const deploy = path.join(root, 'deploy/nginx');
    let site = fs.readFileSync(path.join(deploy, 'longhaul.conf'), 'utf8');
    site = replaceOnce(site, 'submitter:8081', `127.0.0.1:${submitter.port}`);
    site = replaceOnce(site, 'status-api:8082', `127.0.0.1:${status.port}`);
    site = replaceOnce(site, 'listen 8080;', `listen 127.0.0.1:${port};`);
    site = replaceOnce(site, 'proxy_read_timeout 75s;',
      `proxy_read_timeout ${readTimeoutS}s;`);
    let main = fs.readFileSync(path.join(deploy, 'nginx.conf'), 'utf8');
    main = replaceOnce(main, '/tmp/', `${dir}/`);
    main = replaceOnce(main, '/etc/nginx/longhaul.conf',
      path.join(dir, 'longhaul.conf'));
    main = replaceOnce(main, 'worker_processes auto;', 'worker_processes 1;');
    fs.writeFileSync(path.join(dir, 'longhaul.conf'), site);
    fs.writeFileSync(mainFile(), main);

    // Files and not pipes: node's pipes are sockets, and nginx opens
    // /dev/stdout by its name.
    const log = fs.openSync(path.join(dir, 'access.log'), 'a');
    const err = fs.openSync(path.join(dir, 'error.log'), 'a');
    child = spawn(nginx, ['-p', dir, '-c', mainFile(), '-g', 'daemon off;'],
      { stdio: ['ignore', log, err] });
    fs.closeSync(log);
    fs.closeSync(err);
    process.once('exit', () => child.kill('SIGTERM'));
    const deadline = Date.now() + 10_000;
    for (;;) {
      try { await call('GET', '/livez'); break; } catch (error) {
        if (Date.now() > deadline || child.exitCode !== null) {
          throw new Error(`nginx did not start: ${error.message}\n`
            + fs.readFileSync(path.join(dir, 'error.log'), 'utf8'));
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  });

  after(async () => {
    if (child && child.exitCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
    }
    for (const backend of [submitter, status]) {
      backend?.server.closeAllConnections();
      backend?.server.close();
    }
    if (dir) fs.rmSync(dir, { recursive: true, force: true });
  });

  test('nginx -t accepts the configuration', () => {
    const file = path.join(dir, 'check.log');
    const log = fs.openSync(file, 'a');
    const run = spawnSync(nginx, ['-t', '-p', dir, '-c', mainFile()],
      { stdio: ['ignore', log, log] });
    fs.closeSync(log);
    const said = fs.readFileSync(file, 'utf8');
    assert.equal(run.status, 0, said);
    assert.match(said, /test is successful/);
    assert.doesNotMatch(said, /\[(warn|error|emerg)\]/);
  });

  test('the shipped read time-out outlives the longest long-poll', () => {
    const text = fs.readFileSync(
      path.join(root, 'deploy/nginx/longhaul.conf'), 'utf8');
    const seconds = Number(/proxy_read_timeout (\d+)s;/.exec(text)[1]);
    assert.ok(seconds >= 60, `${seconds} s against a poll of 55 s`);
  });

  const routes = [
    ['POST', '/v1/jobs', 'submitter'],
    ['POST', '/v1/jobs?dry_run=1', 'submitter'],
    ['POST', '/v1/batches', 'submitter'],
    ['POST', '/v1/batches?strict=1', 'submitter'],
    ['POST', '/v1/messages/batches', 'submitter'],
    ['POST', '/v1/messages/batches?beta=true', 'submitter'],
    ['GET', '/v1/jobs', 'status'],
    ['GET', '/v1/jobs?state=failed&limit=2', 'status'],
    ['GET', '/v1/jobs/job_01/result', 'status'],
    ['POST', '/v1/jobs/job_01/cancel', 'status'],
    ['POST', '/v1/jobsx', 'status'],
    ['POST', '/v1/jobs/', 'status'],
    ['POST', '/v2/v1/jobs', 'status'],
    ['GET', '/v1/jobs/x?next=POST%20/v1/jobs', 'status'],
    ['PUT', '/v1/jobs', 'status'],
    ['DELETE', '/v1/jobs/job_01', 'status'],
    ['GET', '/v1/dead-letters', 'status'],
    ['POST', '/v1/operations', 'status'],
    ['GET', '/v1/messages/batches', 'status'],
    ['GET', '/v1/messages/batches?limit=2&after_id=b_1', 'status'],
    ['GET', '/v1/messages/batches/b_1', 'status'],
    ['GET', '/v1/messages/batches/b_1/results', 'status'],
    ['DELETE', '/v1/messages/batches/b_1', 'status'],
    ['POST', '/v1/messages/batches/b_1/cancel', 'status'],
    ['GET', '/v1/batches?run=r', 'status'],
    ['GET', '/v1/batches/b_1/results?after=7', 'status'],
    ['GET', '/v1/batches/b_1/items', 'status'],
    ['GET', '/v1/batches/b_1/errors', 'status'],
    ['POST', '/v1/batches/b_1/cancel', 'status'],
    ['POST', '/v1/batches/b_1/retry-failed', 'status'],
    ['DELETE', '/v1/batches/b_1', 'status'],
    ['GET', '/livez', 'status'],
    ['GET', '/readyz', 'status'],
    ['GET', '/metrics', 'status'],
    ['GET', '/openapi.json', 'status'],
    ['GET', '/', 'status'],
  ];
  for (const [method, url, name] of routes) {
    test(`${method} ${url} reaches the ${name}`, async () => {
      const answer = await call(method, url,
        method === 'POST' ? { body: '{}' } : {});
      assert.equal(answer.status, 200);
      assert.equal(answer.json.name, name);
      assert.equal(answer.json.url, url, 'the request line is unchanged');
    });
  }

  test('a preflight goes where its request will go', async () => {
    for (const [method, name] of [['POST', 'submitter'], ['GET', 'status']]) {
      const answer = await call('OPTIONS', '/v1/jobs', { headers: {
        origin: 'https://app.example.com',
        'access-control-request-method': method } });
      assert.equal(answer.json.name, name);
    }
  });

  test('odd paths pass as they came', async () => {
    for (const url of ['/v1/jobs/a%2Fb', '/v1//jobs', '/v1/jobs/%E4%BD%A0']) {
      const answer = await call('GET', url);
      assert.equal(answer.json.url, url);
    }
  });

  test('Host and credentials pass, X-Forwarded-For cannot be forged',
    async () => {
      const answer = await call('GET', '/v1/jobs', { headers: {
        host: 'queue.example.com:8443', 'x-api-key': 'key-of-a-test',
        'x-forwarded-for': '203.0.113.9', 'if-none-match': '"4"' } });
      const seen = answer.json.headers;
      assert.equal(seen.host, 'queue.example.com:8443');
      assert.equal(seen['x-api-key'], 'key-of-a-test');
      assert.equal(seen['if-none-match'], '"4"');
      assert.equal(seen['x-forwarded-for'], '127.0.0.1');
      assert.equal(seen['x-forwarded-host'], 'queue.example.com:8443');
      assert.equal(seen['x-forwarded-proto'], 'http');
    });

  test('31 MB stream through and no file holds them', timed, async () => {
    const megabyte = Buffer.alloc(1024 * 1024);
    for (let i = 0; i < megabyte.length; i++) megabyte[i] = 32 + (i * 7) % 90;
    const arrived = new Promise((resolve) => {
      submitter.on = (req) => {
        req.once('data', resolve);
        return false;
      };
    });
    const hash = createHash('sha256');
    const answer = await new Promise((resolve, reject) => {
      const req = http.request({ host: '127.0.0.1', port, method: 'POST',
        path: '/v1/jobs', agent: false, headers: {
          'content-type': 'application/json',
          'content-length': 31 * megabyte.length } }, (res) => {
        let text = '';
        res.on('data', (data) => { text += data; });
        res.on('end', () => resolve({ status: res.statusCode, text }));
      });
      req.on('error', reject);
      (async () => {
        for (let i = 0; i < 31; i++) {
          hash.update(megabyte);
          if (!req.write(megabyte)) {
            await new Promise((drained) => req.once('drain', drained));
          }
          // The rest is held until the first bytes are at the other end: a
          // proxy that collects the body first would never get there.
          if (i === 0) await arrived;
        }
        req.end();
      })().catch(reject);
    });
    submitter.on = null;
    assert.equal(answer.status, 200);
    const seen = JSON.parse(answer.text);
    assert.equal(seen.bytes, 31 * megabyte.length);
    assert.equal(seen.sha256, hash.digest('hex'));
    assert.deepEqual(fs.readdirSync(path.join(dir, 'nginx-body')), []);
  });

  test('a batch is not held to the limit of one request', timed, async () => {
    const megabyte = Buffer.alloc(1024 * 1024, 0x20);
    for (const url of ['/v1/batches', '/v1/messages/batches']) {
      const answer = await new Promise((resolve, reject) => {
        const req = http.request({ host: '127.0.0.1', port, method: 'POST',
          path: url, agent: false, headers: {
            'content-length': 40 * megabyte.length } }, (res) => {
          let text = '';
          res.on('data', (data) => { text += data; });
          res.on('end', () => resolve({ status: res.statusCode, text }));
        });
        req.on('error', reject);
        (async () => {
          for (let i = 0; i < 40; i++) {
            if (!req.write(megabyte)) {
              await new Promise((drained) => req.once('drain', drained));
            }
          }
          req.end();
        })().catch(reject);
      });
      assert.equal(answer.status, 200, answer.text);
      assert.equal(JSON.parse(answer.text).bytes, 40 * megabyte.length);
    }
    assert.deepEqual(fs.readdirSync(path.join(dir, 'nginx-body')), []);
  });

  test('a body past the limit gets a 413 in the common shape', async () => {
    const before = submitter.seen.length;
    const answer = await new Promise((resolve, reject) => {
      const socket = net.connect(port, '127.0.0.1');
      let text = '';
      socket.on('data', (data) => {
        text += data;
        if (!text.endsWith('}\n')) return; // nginx lingers before it closes
        socket.destroy();
        resolve(text);
      });
      socket.on('error', reject);
      socket.write('POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\n'
        + 'Connection: close\r\nContent-Type: application/json\r\n'
        + `Content-Length: ${34 * 1024 * 1024}\r\n\r\n`);
    });
    assert.match(answer, /^HTTP\/1.1 413 /);
    const body = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4));
    assert.equal(body.error.type, 'request_too_large');
    assert.ok(body.request_id);
    assert.equal(submitter.seen.length, before);
  });

  test('a long-poll inside the time-out is not cut', async () => {
    status.on = (req, res) => {
      setTimeout(() => res.end('{"name":"late"}'), 1000);
      return true;
    };
    const answer = await call('GET', '/v1/jobs/job_01?wait=2');
    status.on = null;
    assert.equal(answer.status, 200);
    assert.equal(answer.json.name, 'late');
  });

  test('an unfinished answer is passed on at once', timed, async () => {
    let finish;
    status.on = (req, res) => {
      res.setHeader('content-type', 'application/x-ndjson');
      res.write('{"line":1}\n');
      finish = () => res.end('{"line":2}\n');
      return true;
    };
    const text = await new Promise((resolve, reject) => {
      http.get({ host: '127.0.0.1', port, path: '/v1/jobs', agent: false },
        (res) => {
          let got = '';
          res.on('data', (data) => {
            got += data;
            if (got === '{"line":1}\n') finish();
          });
          res.on('end', () => resolve(got));
        }).on('error', reject);
    });
    status.on = null;
    assert.equal(text, '{"line":1}\n{"line":2}\n');
  });

  test('a backend that stays silent ends in a 504, once', async () => {
    const before = status.seen.length;
    status.on = () => true;
    const answer = await call('GET', '/v1/jobs/job_silent');
    status.on = null;
    assert.equal(answer.status, 504);
    assert.equal(answer.json.error.type, 'timeout_error');
    assert.equal(status.seen.length, before + 1);
  });

  // The same port again and again over kept connections, so that the request
  // that dies is one on a reused connection, which nginx likes to repeat.
  test('a POST is not sent twice when its connection dies', async () => {
    for (let round = 0; round < 5; round++) {
      const warm = await call('POST', '/v1/jobs', { body: '{"warm":1}' });
      assert.equal(warm.status, 200);
      const before = submitter.seen.length;
      submitter.on = (req) => {
        req.on('data', () => {});
        req.on('end', () => req.socket.destroy());
        return true;
      };
      const answer = await call('POST', '/v1/jobs', { body: '{"cut":1}' });
      submitter.on = null;
      assert.equal(answer.status, 502);
      assert.equal(answer.json.error.type, 'api_error');
      assert.equal(answer.headers['retry-after'], '2');
      assert.equal(submitter.seen.length, before + 1);
    }
  });

  test('a GET survives a kept connection that was just closed', async () => {
    await call('GET', '/v1/jobs');
    let cut = 0;
    status.on = (req) => {
      if (cut++ > 0) return false;
      req.socket.destroy();
      return true;
    };
    const answer = await call('GET', '/v1/jobs');
    status.on = null;
    assert.equal(answer.status, 200);
    assert.equal(cut, 2);
  });

  test('errors of the servers pass unchanged', async () => {
    const body = '{"type":"error","error":{"type":"overloaded_error",'
      + '"message":"the queue is full"},"request_id":"req_1"}';
    for (const code of [400, 413, 422, 429, 503]) {
      submitter.on = (req, res) => {
        req.resume();
        req.on('end', () => {
          res.writeHead(code, { 'retry-after': '7' });
          res.end(body);
        });
        return true;
      };
      const answer = await call('POST', '/v1/jobs', { body: '{}' });
      assert.equal(answer.status, code);
      assert.equal(answer.text, body);
      assert.equal(answer.headers['retry-after'], '7');
    }
    submitter.on = null;
  });

  test('a server that is down is a 502 in the common shape', async () => {
    status.server.closeAllConnections();
    await new Promise((resolve) => status.server.close(resolve));
    const answer = await call('GET', '/v1/jobs');
    assert.equal(answer.status, 502);
    assert.equal(answer.json.type, 'error');
    assert.equal(answer.headers['content-type'], 'application/json');
    const other = await call('POST', '/v1/jobs', { body: '{}' });
    assert.equal(other.status, 200, 'the other server is not touched by it');
  });

  test('the access log has paths, and no query, key or body', async () => {
    await call('POST', '/v1/batches?token=canary-query', {
      body: '{"message":"canary-body"}',
      headers: { 'x-api-key': 'canary-key', 'content-length': 25,
        'user-agent': 'canary-agent' } });
    const deadline = Date.now() + 5000;
    let lines;
    do {
      const text = fs.readFileSync(path.join(dir, 'access.log'), 'utf8');
      assert.doesNotMatch(text, /canary|key-of-a-test/);
      lines = text.trim().split('\n').map((line) => JSON.parse(line));
      await new Promise((resolve) => setTimeout(resolve, 20));
    } while (Date.now() < deadline && lines.at(-1).path !== '/v1/batches');
    assert.equal(lines.at(-1).path, '/v1/batches');
    assert.equal(lines.at(-1).status, 200);
    assert.equal(lines.at(-1).upstream, 'longhaul_submitter');
  });
});
