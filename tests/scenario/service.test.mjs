// What the servers have in common: the installation's marker, the flags that
// end at once, the parent's death. And the one thing of submitting that needs
// a worker: an Idempotency-Key that only the result store still knows.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, describe, test } from 'node:test';
import { bin, freePort, startFakeClaude, startProcess, startRedis, stopAll,
  tmpdir, until } from './lib/index.mjs';
import { redisClient } from './lib/redis-client.mjs';

const P = 'lh:{0}:';
const READY = /^ready (http:\/\/127\.0\.0\.1:\d+)$/m;

async function start(name, redis, store, { args = [], env = {}, wait = true } = {}) {
  const program = await startProcess(bin(name), {
    args: ['--redis-url', redis.url, '--store-url', `sqlite:${store}`,
      name === 'longhaul-worker' ? '--worker-listen' : '--submitter-listen',
      '127.0.0.1:0', ...args],
    env: { ANTHROPIC_API_KEY: 'sk-ant-canary', LONGHAUL_GRACE: '2s', ...env },
    cwd: tmpdir(),
    waitFor: wait ? READY : undefined,
  });
  return Object.assign(program, { url: program.match?.[1] });
}

const readyz = async (program) => {
  const answer = await fetch(`${program.url}/readyz`);
  return { status: answer.status, ...await answer.json() };
};
const isReady = (program) => until(async () =>
  (await readyz(program)).status === 'ready', { what: 'readiness' });
const saysNot = (program, pattern) => until(async () => {
  const answer = await readyz(program);
  return answer.status === 'not_ready' && pattern.test(answer.reason);
}, { what: `readyz to say ${pattern}` });

describe('installation', () => {
  afterEach(stopAll);

  test('is made by the first worker and shared by all', async () => {
    const redis = await startRedis();
    const client = redisClient(redis.socket);
    const store = join(tmpdir(), 'results.db');
    const submitter = await start('longhaul-submitter', redis, store);
    await saysNot(submitter, /no worker has started/);
    const workers = await Promise.all([1, 2, 3, 4, 5, 6].map(() =>
      start('longhaul-worker', redis, store)));
    for (const program of [...workers, submitter]) await isReady(program);
    for (const worker of workers) {
      assert.doesNotMatch(worker.stderr(), /marker_refused/);
    }
    const marker = String(await client.command('GET', `${P}install`));
    assert.match(marker, /^[0-9a-f-]{36} real$/);
    // another Redis with the same store is not taken for this one
    client.close();
    const empty = await startRedis();
    const lost = await start('longhaul-submitter', empty, store);
    await saysNot(lost, /without its data/);
    const refused = await start('longhaul-worker', empty, store);
    await saysNot(refused, /without its data/);
    assert.match(refused.stderr(), /"level":"error".*"event":"marker_refused"/);
    // until the operator says so
    const accepted = await start('longhaul-worker', empty, store,
      { args: ['--accept-empty-redis'] });
    for (const program of [accepted, refused, lost]) await isReady(program);
    const second = redisClient(empty.socket);
    assert.equal(String(await second.command('GET', `${P}install`)), marker);
    second.close();
  });

  test('does not mix two stores, nor simulated with real results', async () => {
    const redis = await startRedis();
    const dir = tmpdir();
    const store = join(dir, 'one.db');
    await isReady(await start('longhaul-worker', redis, store));
    const elsewhere = await startRedis();
    const other = await start('longhaul-worker', elsewhere, join(dir, 'two.db'));
    await isReady(other);
    await saysNot(await start('longhaul-submitter', redis, join(dir, 'two.db')),
      /different installations/);
    const simulated = await start('longhaul-worker', redis, store,
      { args: ['--simulated'], wait: false });
    assert.equal((await simulated.exited).code, 1);
    assert.match(simulated.stderr(), /simulated and real results/);
  });

  test('keeps the key out of what does not need it', async () => {
    const redis = await startRedis();
    const submitter = await start('longhaul-submitter', redis,
      join(tmpdir(), 'r.db'));
    assert.doesNotMatch(submitter.stderr() + submitter.stdout(), /canary/);
    let environment = '';
    try { // root's only, because the programs are not dumpable
      environment = readFileSync(`/proc/${submitter.pid}/environ`, 'latin1');
    } catch (error) { assert.equal(error.code, 'EACCES'); }
    assert.doesNotMatch(environment, /canary/);
  });
});

describe('flags', () => {
  after(stopAll);
  const run = async (args, env) => {
    const program = await startProcess(bin('longhaul-submitter'),
      { args, env, cwd: tmpdir() });
    const { code } = await program.exited;
    return { code, out: program.stdout(), err: program.stderr() };
  };

  test('end at once with the exit codes of the contract', async () => {
    assert.match((await run(['--version'])).out, /^longhaul-submitter \d/);
    const help = await run(['--help']);
    assert.equal(help.code, 0);
    assert.match(help.out, /--redis-url/);
    assert.deepEqual(await run(['--check']),
      { code: 0, out: 'the configuration is fine\n', err: '' });
    const bad = await run(['--check', '--max-body', 'huge', '--retention=x']);
    assert.equal(bad.code, 2);
    assert.match(bad.err, /--max-body.*\n.*--retention/);
    const unknown = await run(['--frobnicate']);
    assert.equal(unknown.code, 2);
    assert.match(unknown.err, /--frobnicate/);
  });

  test('--health asks the running program', async () => {
    const redis = await startRedis();
    const client = redisClient(redis.socket);
    const port = await freePort();
    const listen = ['--submitter-listen', `127.0.0.1:${port}`];
    assert.equal((await run(['--health', ...listen])).code, 1);
    await startProcess(bin('longhaul-submitter'), { args: [...listen,
      '--redis-url', redis.url, '--store-url', 'sqlite:results.db'],
    cwd: tmpdir(), waitFor: READY });
    assert.equal((await run(['--health', ...listen])).code, 1);
    await client.command('SET', `${P}install`, 'x real');
    await until(async () => (await run(['--health', ...listen])).code === 0);
    client.close();
  });

  test('--die-with-parent ends with the parent', async () => {
    const redis = await startRedis();
    const dir = tmpdir();
    const shell = spawn('/bin/sh', ['-c', `"${bin('longhaul-submitter')}" `
      + '--die-with-parent --submitter-listen unix:s.sock '
      + `--redis-url ${redis.url} --store-url sqlite:r.db & echo $!; wait`],
    { cwd: dir, stdio: ['ignore', 'pipe', 'ignore'] });
    let out = '';
    shell.stdout.on('data', (data) => { out += data; });
    await until(() => /ready unix:s\.sock/.test(out), { what: 'the start' });
    const pid = Number(/^(\d+)$/m.exec(out)[1]);
    shell.kill('SIGKILL');
    await until(() => {
      try { process.kill(pid, 0); return false; } catch { return true; }
    }, { what: 'its end' });
  });
});

describe('an Idempotency-Key that only the store knows', () => {
  after(stopAll);

  test('still finds the job that ended', async () => {
    const redis = await startRedis();
    const client = redisClient(redis.socket);
    const claude = await startFakeClaude();
    const store = join(tmpdir(), 'results.db');
    await start('longhaul-worker', redis, store,
      { env: { ANTHROPIC_BASE_URL: claude.url } });
    const submitter = await start('longhaul-submitter', redis, store);
    await isReady(submitter);
    const post = async (text) => {
      const answer = await fetch(`${submitter.url}/v1/jobs`, { method: 'POST',
        headers: { 'content-type': 'application/json',
          'idempotency-key': 'nightly-7' },
        body: JSON.stringify({ message: text, model: 'mock-ok' }) });
      return { status: answer.status, json: await answer.json(),
        replayed: answer.headers.get('idempotent-replayed') };
    };
    const first = await post('once a night');
    assert.equal(first.status, 202);
    const tombs = async () => (await client.command('KEYS', `${P}tomb:*`))
      .map(String);
    await until(async () => (await tombs()).length > 0,
      { what: 'the end of the job' });
    const ended = await post('once a night');
    assert.equal(ended.json.id, first.json.id);
    assert.equal(ended.json.status, 'succeeded');
    assert.equal(ended.replayed, 'true');
    // a day later
    await client.command('DEL', `${P}idem:default:nightly-7`,
      ...await tombs());
    const later = await post('once a night');
    assert.equal(later.status, 202, JSON.stringify(later.json));
    assert.equal(later.json.id, first.json.id);
    assert.equal(later.json.status, 'succeeded');
    assert.equal((await post('something else')).status, 422);
    assert.equal(claude.ends().length, 1);
    client.close();
  });
});
