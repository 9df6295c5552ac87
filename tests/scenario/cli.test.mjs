// The longhaul command: `up` with everything it starts, and each command of
// the client against it, with real programs only.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync,
  writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { bin, freePort, sleep, startFakeClaude, startProcess, stopAll, tmpdir,
  until } from './lib/index.mjs';
import { noSmallDisk, smallDisk } from './lib/faults.mjs';

after(stopAll);

const UP = { waitFor: /^ready (http:\/\/\S+)\n/m, timeoutMs: 30_000 };

async function startUp({ data, args = [], env = {} } = {}) {
  const dir = data ?? join(tmpdir('longhaul-cli-'), 'var');
  const up = await startProcess(bin('longhaul'), {
    args: ['up', '--port', '0', '--data', dir, ...args], env, ...UP });
  return Object.assign(up, { dir, url: up.match[1] });
}

/** Runs the command to its end: { code, out, err }. */
function run(args, { url, env = {}, input = '', cwd } = {}) {
  return new Promise((resolve) => {
    const child = spawn(bin('longhaul'), args, { cwd, stdio: 'pipe',
      env: { PATH: process.env.PATH, LANG: 'C.UTF-8',
        ...(url ? { LONGHAUL_URL: url } : {}), ...env } });
    let out = '';
    let err = '';
    child.stdout.on('data', (data) => { out += data; });
    child.stderr.on('data', (data) => { err += data; });
    child.on('close', (code) => resolve({ code, out, err }));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

/** pid of a running child of that `up`, by what its log says. */
function childPid(up, name) {
  const started = [...up.stderr().matchAll(
    /"event":"child_started","child":"([^"]+)","pid":(\d+)/g)]
    .filter((match) => match[1] === name);
  return started.length === 0 ? 0 : Number(started.at(-1)[2]);
}

const names = ['redis', 'simulator', 'server', 'worker-1', 'worker-2'];
const exists = (pid) => existsSync(`/proc/${pid}`) &&
  !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));

describe('one installation', () => {
  let up;
  const sh = (...args) => run(args, { url: up.url });
  const submit = async (...args) => {
    const done = await sh('submit', ...args);
    assert.equal(done.code, 0, done.err);
    return done.out.trim();
  };

  before(async () => { up = await startUp(); });
  after(() => up.stop());

  test('prints one line on stdout and shows a finished job', async () => {
    await up.waitForLine(/first job {3}job_\S+ {2}succeeded/);
    assert.match(up.stdout(), /^ready http:\/\/127\.0\.0\.1:\d+\n$/);
    assert.match(up.stderr(), /SIMULATOR: there is no API key/);
    assert.match(up.stderr(), /try {9}curl -i http/);
  });

  test('keeps everything in a private directory', () => {
    assert.equal(statSync(up.dir).mode & 0o777, 0o700);
    assert.equal(readFileSync(join(up.dir, 'mode'), 'utf8'), 'simulated\n');
    assert.ok(statSync(join(up.dir, 'redis/redis.sock')).isSocket());
    assert.ok(existsSync(join(up.dir, 'longhaul.db')));
  });

  test('a prompt from a file becomes an answer', async () => {
    const file = join(tmpdir(), 'prompt.md');
    writeFileSync(file, 'The ship "Ana"\nleft at 9. It carries 40 cars. 🚢');
    const id = await submit('-f', file, '--tag', 'ships', '--lane', 'bulk');
    assert.match(id, /^job_[0-9a-f-]{36}$/);
    const waited = await sh('wait', id);
    assert.equal(waited.code, 0, waited.err);
    assert.equal(waited.out, `${id}\tsucceeded\n`);
    const job = JSON.parse((await sh('get', id, '--json')).out);
    assert.deepEqual([job.status, job.lane, job.tags, job.simulated],
      ['succeeded', 'bulk', ['ships'], true]);
    const message = JSON.parse((await sh('get', id, '--result')).out);
    assert.equal(message.type, 'message');
    const text = await sh('get', id, '--text');
    assert.equal(text.out.trim(), message.content[0].text.trim());
    assert.match((await sh('get', id)).out, /^status +succeeded$/m);
    assert.match((await sh('why', id)).out, /longhaul get job_\S+ --text/);
  });

  test('standard input is a prompt, and --wait prints the answer', async () => {
    const done = await run(['submit', '--wait', '--json-body', '-'], {
      url: up.url, input: JSON.stringify({ model: 'mock-ok', max_tokens: 50,
        messages: [{ role: 'user', content: 'Two words. Three more words.' }],
      }) });
    assert.equal(done.code, 0, done.err);
    assert.ok(done.out.trim().length > 0);
    const piped = await run(['submit', '--wait'], { url: up.url,
      input: 'One sentence. Another sentence.' });
    assert.equal(piped.code, 0, piped.err);
    assert.ok(piped.out.trim().length > 0);
  });

  test('the same key gives the same job', async () => {
    const args = ['--message', 'x', '--idempotency-key', 'k1'];
    assert.equal(await submit(...args), await submit(...args));
    const other = await sh('submit', '--message', 'y',
      '--idempotency-key', 'k1');
    assert.equal(other.code, 1);
    assert.match(other.err, /key/i);
  });

  test('what is not text is refused before it is sent', async () => {
    const bad = await run(['submit'], { url: up.url,
      input: Buffer.from([0x61, 0xff, 0x62]) });
    assert.equal(bad.code, 1);
    assert.match(bad.err, /not UTF-8 text: byte 2/);
    assert.equal((await run(['submit'], { url: up.url })).code, 2);
  });

  test('a failed job says why and what to do', async () => {
    const id = await submit('-m', 'mock-400', '--message', 'x');
    const waited = await sh('wait', id);
    assert.equal(waited.code, 3);
    assert.equal(waited.out, `${id}\tfailed\n`);
    assert.match(waited.err, /invalid_request_error.*HTTP 400/);
    assert.equal((await sh('get', id, '--result')).code, 3);
    const shown = await sh('get', id, '--json');
    assert.equal(JSON.parse(shown.out).simulated, true);
    const why = await sh('why', id);
    assert.equal(why.code, 0);
    assert.match(why.out, /what to do/);
    assert.match(why.out, /longhaul dlq replay job_/);
    const direct = await sh('submit', '-m', 'mock-400', '--message', 'x',
      '--wait');
    assert.equal(direct.code, 3);
    assert.match(direct.err, /longhaul why job_/);
  });

  test('a wait that is over leaves the job running', async () => {
    const id = await submit('-m', 'mock-slow-20s', '--message', 'x');
    const begin = Date.now();
    const waited = await sh('wait', id, '--timeout', '300ms');
    assert.equal(waited.code, 6);
    assert.ok(Date.now() - begin < 5000);
    assert.match(waited.err, /has not ended/);
    const both = await sh('submit', '-m', 'mock-slow-20s', '--message', 'x',
      '--wait', '--timeout', '300ms');
    assert.equal(both.code, 6);
    await sh('cancel', /longhaul wait (job_\S+)/.exec(both.err)[1]);
    assert.equal((await sh('get', id, '--result')).code, 6);
    const cancel = await sh('cancel', id);
    assert.equal(cancel.code, 0, cancel.err);
    assert.equal((await sh('wait', id)).code, 3);
    assert.match((await sh('get', id)).out, /^status +canceled$/m);
    assert.equal((await sh('cancel', id)).code, 0);
  });

  test('lists by filters, with a cursor', async () => {
    const ids = [];
    for (let i = 0; i < 3; i++) {
      ids.push(await submit('--message', `n ${i}`, '--tag', 'listed'));
    }
    const all = await sh('ls', 'tag:listed');
    assert.equal(all.code, 0, all.err);
    const rows = all.out.trim().split('\n');
    assert.match(rows[0], /^ID +STATUS +LANE +MODEL +CREATED +TRIES +WHY$/);
    assert.deepEqual(rows.slice(1).map((row) => row.split(' ')[0]),
      [...ids].reverse());
    const first = await sh('ls', 'tag:listed', '-n', '2');
    const cursor = /more with --cursor (job_\S+)/.exec(first.err)[1];
    const rest = await sh('ls', 'tag:listed', '--cursor', cursor, '--json');
    assert.deepEqual(JSON.parse(rest.out).data.map((job) => job.id), [ids[0]]);
    assert.equal((await sh('ls', 'tag:listed', 'newer:1h')).out.trim()
      .split('\n').length, 4);
    assert.equal(JSON.parse((await sh('ls', 'tag:listed', 'older:1h',
      '--json')).out).data.length, 0);
    assert.equal((await sh('ls', 'tag:none')).code, 0);
  });

  test('a deleted job is gone', async () => {
    const id = await submit('--message', 'x');
    await sh('wait', id);
    assert.equal((await sh('rm', id)).code, 0);
    const gone = await sh('get', id);
    assert.equal(gone.code, 5);
    assert.match(gone.err, /deleted/);
  });

  test('dead letters: list, group, show, replay, discard', async () => {
    const dead = [];
    for (let i = 0; i < 3; i++) {
      dead.push(await submit('-m', 'mock-404', '--message', `dead ${i}`));
    }
    await sh('wait', ...dead);
    const list = await sh('dlq', 'ls', '--model', 'mock-404');
    assert.equal(list.code, 0, list.err);
    for (const id of dead) assert.ok(list.out.includes(id));
    const groups = JSON.parse((await sh('dlq', 'groups', '--json')).out).data;
    const group = groups.find((one) => one.model === 'mock-404');
    assert.equal(group.count, 3);
    assert.match((await sh('dlq', 'groups')).out, /^FINGERPRINT +COUNT/m);
    const shown = await sh('dlq', 'show', dead[0]);
    assert.equal(shown.code, 0, shown.err);
    assert.match(shown.out, /^cause +not_found_error/m);

    const one = await sh('dlq', 'replay', dead[0]);
    assert.equal(one.code, 0, one.err);
    await until(async () => (JSON.parse(
      (await sh('get', dead[0], '--json')).out).generation === 1));
    await sh('wait', dead[0]);
    assert.match((await sh('dlq', 'show', dead[0])).out, /^generation +1$/m);
    // What was shown has been replayed already, and failed again.
    for (const verb of ['replay', 'discard']) {
      const again = await sh('dlq', verb, dead[0], '--generation', '0');
      assert.equal(again.code, 5, again.err);
    }

    const byCause = ['--fingerprint', group.fingerprint];
    const dry = await sh('dlq', 'replay', ...byCause, '--dry-run');
    assert.equal(dry.code, 0);
    assert.match(dry.err, /3 dead letters match/);
    const refused = await sh('dlq', 'discard', ...byCause);
    assert.equal(refused.code, 2);
    assert.match(refused.err, /not without --yes/);
    const done = await sh('dlq', 'discard', ...byCause, '--yes',
      '--rate', '100');
    assert.equal(done.code, 0, done.err);
    assert.match(done.err, /3 of 3/);
    const op = done.out.trim();
    assert.match((await sh('op', 'show', op)).out, /^status +succeeded$/m);
    assert.match((await sh('op', 'ls')).out, new RegExp(`^${op} +discard`, 'm'));
    assert.equal((await sh('op', 'cancel', op)).code, 1);
    assert.equal((await sh('dlq', 'show', dead[0])).code, 5);
    assert.equal((await sh('dlq', 'replay')).code, 2);
    assert.equal((await sh('dlq', 'replay', dead[0], '--all')).code, 2);
  });

  test('ids that nobody has, and ids that are none', async () => {
    const id = 'job_0199f6a2-5c1e-7abc-9def-0123456789ab';
    for (const args of [['get', id], ['wait', id], ['cancel', id], ['rm', id],
      ['why', id], ['dlq', 'show', id],
      ['op', 'show', 'op_0199f6a2-5c1e-7abc-9def-0123456789ab']]) {
      const done = await sh(...args);
      assert.equal(done.code, 5, `${args}: ${done.err}`);
      assert.equal(done.out, '');
      assert.match(done.err, /there is no/);
    }
    assert.equal((await sh('get', 'job_7')).code, 2);
  });

  test('doctor finds nothing wrong', async () => {
    const done = await sh('doctor', '--data', up.dir, '--json');
    const checks = JSON.parse(done.out);
    assert.equal(done.code, 0, done.out);
    const verdict = (name) => checks.find((c) => c.check === name)?.verdict;
    for (const name of ['settings', 'redis', 'store', 'disk', 'installation',
      'server']) {
      assert.equal(verdict(name), 'ok', name);
    }
    assert.equal(verdict('key'), 'warn');
  });

  test('doctor tells that there is no such data directory', async () => {
    const look = async (dir) => JSON.parse(
      (await sh('doctor', '--data', dir, '--json')).out)
      .find((c) => c.check === 'data');
    const none = await look(join(tmpdir(), 'none'));
    assert.equal(none.verdict, 'fail');
    assert.match(JSON.stringify(none), /No such file or directory/);
    const other = await look(tmpdir());
    assert.equal(other.verdict, 'fail');
    assert.match(JSON.stringify(other), /no data directory of longhaul up/);
  });

  test('one scrape shows every process', async () => {
    const reply = await fetch(`${up.url}/metrics`);
    assert.equal(reply.status, 200);
    const text = await reply.text();
    for (const name of ['server', 'worker-1', 'worker-2']) {
      assert.match(text,
        new RegExp(`^longhaul_build_info\\{process="${name}",`, 'm'));
    }
    assert.match(text, /^longhaul_peer_up\{process="worker-1"\} 1$/m);
    const types = [...text.matchAll(/^# TYPE (\S+)/gm)].map((m) => m[1]);
    assert.equal(new Set(types).size, types.length);
  });

  test('a second one on the same data is refused', async () => {
    const second = await run(['up', '--port', '0', '--data', up.dir]);
    assert.equal(second.code, 1);
    assert.match(second.err, new RegExp(`in use.*pid ${up.pid}`));
    const port = new URL(up.url).port;
    const other = await run(['up', '--port', port, '--data',
      join(tmpdir(), 'other')]);
    assert.equal(other.code, 1);
    assert.match(other.err, /port \d+ is in use/);
  });
});

describe('trouble', () => {
  test('a Redis that cannot start is quoted', async () => {
    const dir = join(tmpdir('longhaul-cli-'), 'var');
    await (await startUp({ data: dir, args: ['--no-demo'] })).stop();
    const aof = join(dir, 'redis/appendonlydir');
    for (const name of readdirSync(aof)) {
      if (name.endsWith('.manifest')) writeFileSync(join(aof, name), 'x y z\n');
    }
    const up = await run(['up', '--port', '0', '--data', dir]);
    assert.equal(up.code, 1);
    assert.match(up.err, /redis cannot start \(exit code 1\)/);
    assert.match(up.err, /^ {2}it said: .*(manifest|AOF)/mi);
    assert.doesNotMatch(up.err, /is full/);
  });

  test('a Redis without room on the disk is explained', async (t) => {
    const why = noSmallDisk();
    if (why) { t.skip(why); return; }
    const disk = await smallDisk('6m');
    const data = join(disk.dir, 'var');
    const up = await startProcess(disk.enter[0], { ...UP,
      args: [...disk.enter.slice(1), bin('longhaul'), 'up', '--port', '0',
        '--no-demo', '--data', data] });
    try {
      writeFileSync(disk.inside('ballast'), Buffer.alloc(6 << 20));
    } catch (error) { assert.equal(error.code, 'ENOSPC'); }
    const text = Array.from({ length: 2000 }, () => Math.random()).join(' ');
    await run(['submit', '--message', text], { url: up.match[1] });
    await up.waitForLine(/redis (ended|cannot start).*\(exit code 1\)/);
    await up.waitForLine(/^ {2}it said: .*AOF write error/m);
    await up.waitForLine(/the disk of \S+ is full \(\d+ bytes are free\)/);
    rmSync(disk.inside('ballast'));
    await up.stop();
  });

  test('killed programs come back and jobs still end', async () => {
    const up = await startUp({ args: ['--no-demo'] });
    for (const name of names) {
      const pid = childPid(up, name);
      assert.ok(exists(pid), name);
      process.kill(pid, 'SIGKILL');
      await until(() => childPid(up, name) !== pid, { what: `${name} again` });
      const done = await until(async () => {
        const one = await run(['submit', '--wait', '--message', 'Hello there.'],
          { url: up.url });
        return one.code === 7 ? null : one;
      }, { timeoutMs: 40_000, everyMs: 200, what: `a job after ${name}` });
      assert.equal(done.code, 0, `${name}: ${done.err}`);
    }
    assert.deepEqual(await up.stop(), { code: 0, signal: null });
  });

  test('a stopped program is killed and replaced', async () => {
    const up = await startUp({ args: ['--no-demo', '--stall-timeout', '3s'] });
    // Who has not said where it listens is not watched yet.
    await until(async () => /^longhaul_peer_up\{process="worker-1"\} 1$/m.test(
      await (await fetch(`${up.url}/metrics`)).text()), { what: 'worker-1' });
    const pid = childPid(up, 'worker-1');
    process.kill(pid, 'SIGSTOP');
    await up.waitForLine(/"event":"child_stuck","child":"worker-1"/);
    await until(() => childPid(up, 'worker-1') !== pid);
    assert.ok(!exists(pid));
    await up.stop();
  });

  test('what is paid for when it is killed is saved, and the next one does '
    + 'not wait for more', async () => {
    const claude = await startFakeClaude();
    const env = { ANTHROPIC_BASE_URL: claude.url,
      ANTHROPIC_API_KEY: 'sk-ant-kill', LONGHAUL_JOB_HEADER: 'x-longhaul-job' };
    const up = await startUp({ env });
    const { out } = await run(['submit', '-m', 'mock-slow-2s', '--message',
      'Slowly.'], { url: up.url });
    await until(() => claude.ledger().length > 0, { what: 'the call' });
    await up.kill();
    const began = performance.now();
    const again = await startUp({ data: up.dir, env });
    const took = performance.now() - began;
    assert.ok(took < 10_000, `its grace is 30 s, it took ${took} ms`);
    const done = await run(['wait', out.trim()], { url: again.url });
    assert.equal(done.code, 0, done.err);
    assert.equal(claude.ends().length, 1, 'paid for once');
    await again.stop();
    await claude.stop();
  });

  test('its programs die with it, and the next one has the jobs', async () => {
    const up = await startUp();
    const done = await run(['submit', '--message', 'Keep this. And that.'],
      { url: up.url });
    const id = done.out.trim();
    const pids = names.map((name) => childPid(up, name));
    await up.kill();
    await until(() => pids.every((pid) => !exists(pid)),
      { timeoutMs: 20_000, what: 'the end of all children' });
    const again = await startUp({ data: up.dir });
    assert.doesNotMatch(again.stderr(), /first job/);
    const waited = await run(['wait', id], { url: again.url });
    assert.equal(waited.code, 0, waited.err);
    await again.stop();
  });

  test('simulated and real results are never mixed', async () => {
    const up = await startUp({ args: ['--no-demo'] });
    await up.stop();
    const key = 'sk-ant-api03-CANARY-0123456789';
    const real = await run(['up', '--port', '0', '--data', up.dir],
      { env: { ANTHROPIC_API_KEY: key } });
    assert.equal(real.code, 1);
    assert.match(real.err, /holds simulated results.*never mixed/);
    assert.match(real.err, /--data DIR/);
    const simulated = await startUp({ data: up.dir, args: ['--simulate'],
      env: { ANTHROPIC_API_KEY: key } });
    const said = simulated.stderr();
    assert.match(said, /SIMULATOR: as --simulate asks/);
    assert.ok(!said.includes('CANARY'));
    for (const name of ['server', 'redis', 'worker-1']) {
      const pid = childPid(simulated, name);
      for (const file of ['cmdline', 'environ']) {
        let text = '';
        try { text = readFileSync(`/proc/${pid}/${file}`, 'latin1'); } catch {}
        assert.ok(!text.includes('CANARY'), `${name} ${file}`);
      }
    }
    await simulated.stop();
  });

  test('a path with blanks and quotes, and one too long for a socket',
    async () => {
      const odd = await startUp({ args: ['--no-demo'],
        data: join(tmpdir(), 'a "b" c') });
      assert.ok(existsSync(join(odd.dir, 'redis/redis.sock')));
      await odd.stop();
      const deep = join(tmpdir(), 'd'.repeat(120));
      const long = await startUp({ args: ['--no-demo'], data: deep });
      assert.ok(!existsSync(join(deep, 'redis/redis.sock')));
      const doctor = await run(['doctor', '--data', deep], { url: long.url });
      assert.equal(doctor.code, 0, doctor.out);
      const done = await run(['submit', '--wait', '--message', 'Hello there.'],
        { url: long.url });
      assert.equal(done.code, 0, done.err);
      await long.stop();
    });

  test('a directory of somebody else is left alone', async () => {
    const dir = tmpdir();
    writeFileSync(join(dir, 'thesis.txt'), 'x');
    const up = await run(['up', '--port', '0', '--data', dir]);
    assert.equal(up.code, 1);
    assert.match(up.err, /no data directory of longhaul/);
    assert.ok(!existsSync(join(dir, 'lock')));
  });

  test('an interrupted wait is 130 and the job goes on', async () => {
    const up = await startUp({ args: ['--no-demo'] });
    const id = (await run(['submit', '-m', 'mock-slow-2s', '--message', 'x'],
      { url: up.url })).out.trim();
    const wait = await startProcess(bin('longhaul'),
      { args: ['wait', id], env: { LONGHAUL_URL: up.url } });
    await sleep(400);
    wait.signal('SIGINT');
    assert.equal((await wait.exited).code, 130);
    assert.match(wait.stderr(), /the jobs go on/);
    assert.equal((await run(['wait', id], { url: up.url })).code, 0);
    await up.stop();
  });
});

describe('without a server', () => {
  test('unreachable is 7, and says what to do', async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    for (const args of [['ls'], ['submit', '--message', 'x'], ['dlq', 'ls'],
      ['get', 'job_0199f6a2-5c1e-7abc-9def-0123456789ab']]) {
      const done = await run(args, { url });
      assert.equal(done.code, 7, String(args));
      assert.equal(done.out, '');
      assert.match(done.err, /cannot reach http:\/\/127/);
      assert.match(done.err, /longhaul up/);
    }
  });

  test('doctor works when nothing runs', async () => {
    const done = await run(['doctor'], { cwd: tmpdir(),
      url: `http://127.0.0.1:${await freePort()}`,
      env: { LONGHAUL_REDIS_URL: `redis://127.0.0.1:${await freePort()}` } });
    assert.equal(done.code, 1);
    assert.match(done.out, /^fail +redis/m);
    assert.match(done.out, /^warn +server/m);
    assert.match(done.out, /start it/);
  });

  test('wrong words are usage errors with a suggestion', async () => {
    const bulk = ['bulk', 'run', 'in.csv', '-o', 'out.jsonl', '--yes'];
    for (const [args, expected] of [
      [['sumbit'], /did you mean: longhaul submit\?/],
      [['dlq', 'repaly'], /did you mean: longhaul dlq replay\?/],
      [['submit', '--modle', 'x'], /did you mean --model\?/],
      [['up', '--prot', '1'], /did you mean --port\?/],
      [['ls', 'statsu:failed'], /did you mean status:/],
      [['get'], /get wants ID/],
      [['get', 'a', 'b'], /unexpected word: b/],
      [['ls', '--limit', 'many'], /--limit wants a whole number/],
      [['submit', '--json-body', 'x', '--lane', 'bulk'], /byte for byte/],
      [['up', '--redis-url', 'redis://h:1'], /chooses this itself/],
      [['keys', 'ls'], /which file\?/],
      [['ls', 'status:bad'], /status: is a list of queued, running/],
      [['ls', 'lane:bad'], /lane: is interactive, standard or bulk/],
      [['lanes', 'pause', 'bulk', '--for', 'xx'], /--for wants a time such as/],
      [['submit', '--message', 'x', '--lane', 'bogus'], /--lane is interactive/],
      [[...bulk, '-t', 't.md', '--lane', 'bogus'], /--lane is interactive/],
      [[...bulk, '-t', 't.md', '--expires-in', 'soon'], /--expires-in wants/],
      [[...bulk, '-t', 't.md', '--format', 'bogus'], /--format is csv, tsv or/],
      [bulk, /which prompt\? -t FILE names a template/],
      [['config', 'show', '--modle', 'x'], /--modle/],
    ]) {
      const done = await run(args, { cwd: tmpdir() });
      assert.equal(done.code, 2, `${args}: ${done.err}`);
      assert.equal(done.out, '', String(args));
      assert.match(done.err, expected);
    }
  });

  test('help is complete and goes to stdout', async () => {
    const all = await run(['help']);
    assert.equal(all.code, 0);
    const commands = [...all.out.matchAll(/^ {2}(\S+(?: \S+)?) {2,}\S/gm)]
      .map((match) => match[1]);
    assert.ok(commands.includes('dlq replay') && commands.length > 20);
    for (const command of commands) {
      const words = command.split(' ');
      const help = await run(['help', ...words]);
      assert.equal(help.code, 0, command);
      assert.match(help.out, new RegExp(`usage: longhaul`));
      const flag = await run([...words, '--help']);
      assert.equal(flag.code, 0, command);
      assert.match(flag.out, /usage: /);
    }
    const group = await run(['bulk', '--help']);
    assert.equal(group.code, 0);
    assert.match(group.err, /longhaul bulk run/);
    assert.doesNotMatch(group.err, /unknown/);
    assert.match((await run(['version'])).out, /^longhaul \d+\.\d+\.\d+\n$/);
    assert.equal((await run([])).code, 2);
  });

  test('settings are shown with their origin and checked', async () => {
    const cwd = tmpdir();
    writeFileSync(join(cwd, 'longhaul.conf'), 'worker_concurrency = 7\n');
    const shown = await run(['config', 'show', '--origin'], { cwd,
      env: { LONGHAUL_MODEL: 'mock-ok', ANTHROPIC_API_KEY: 'sk-ant-CANARY' } });
    assert.equal(shown.code, 0, shown.err);
    assert.match(shown.out, /worker_concurrency.*7.*longhaul\.conf/);
    assert.match(shown.out, /mock-ok.*LONGHAUL_MODEL/);
    assert.ok(!(shown.out + shown.err).includes('CANARY'));
    const json = await run(['config', 'show', '--json'], { cwd });
    assert.equal(typeof JSON.parse(json.out), 'object');
    assert.equal((await run(['config', 'check'], { cwd })).code, 0);
    writeFileSync(join(cwd, 'longhaul.conf'), 'worker_concurency = 7\n');
    const bad = await run(['config', 'check'], { cwd });
    assert.equal(bad.code, 2);
    assert.match(bad.err, /longhaul\.conf.*worker_concurrency/);
  });

  test('settings with which no server would start are told', async () => {
    const cwd = tmpdir();
    for (const name of ['LISTEN', 'SUBMITTER_LISTEN', 'STATUS_LISTEN',
      'WORKER_LISTEN']) {
      const open = await run(['config', 'check'],
        { cwd, env: { [`LONGHAUL_${name}`]: '0.0.0.0:8099' } });
      assert.equal(open.code, 2, name);
      assert.match(open.err, /refusing to listen on 0\.0\.0\.0:8099 without/);
      assert.equal(open.out, '');
    }
    const keys = await run(['config', 'check'],
      { cwd, env: { LONGHAUL_KEYS_FILE: join(cwd, 'none') } });
    assert.equal(keys.code, 2);
    assert.match(keys.err, /none/);
  });

  test('keys are made, listed, removed, and let people in', async () => {
    const file = join(tmpdir(), 'keys');
    const keys = (...args) =>
      run(['keys', ...args], { env: { LONGHAUL_KEYS_FILE: file } });
    const made = await keys('new', 'ana', '--scopes', 'submit,read');
    assert.equal(made.code, 0, made.err);
    const key = /lh_[A-Za-z0-9_-]{43}/.exec(made.out)[0];
    assert.ok(!readFileSync(file, 'utf8').includes(key));
    assert.equal(statSync(file).mode & 0o077, 0);
    assert.match((await keys('ls')).out, /ana/);
    assert.equal((await keys('new', 'x', '--scopes', 'all')).code, 2);

    const up = await startUp({ env: { LONGHAUL_KEYS_FILE: file } });
    const as = (name, ...args) => run(args, { url: up.url,
      env: name ? { LONGHAUL_API_KEY: name } : {} });
    const done = await as(key, 'submit', '--wait', '--message', 'Hi you.');
    assert.equal(done.code, 0, done.err);
    const none = await as('', 'ls');
    assert.equal(none.code, 4);
    assert.match(none.err, /LONGHAUL_API_KEY/);
    assert.match(up.stderr(), /x-api-key: KEY/);
    const wrong = await as(`lh_${'x'.repeat(43)}`, 'ls');
    assert.equal(wrong.code, 4);
    const scrape = (name) => fetch(`${up.url}/metrics`,
      { headers: { 'x-api-key': name } });
    assert.match(await (await scrape(key)).text(),
      /^longhaul_peer_up\{process="worker-2"\} 1$/m);
    assert.equal((await scrape('lh_none')).status, 401);
    const scope = await as(key, 'dlq', 'ls');
    assert.equal(scope.code, 4);
    assert.match(scope.err, /scope/);
    assert.equal((await keys('rm', 'ana')).code, 0);
    await until(async () => (await as(key, 'ls')).code === 4);
    await up.stop();
  });

  test('what a server says cannot steer the terminal', async () => {
    const nasty = '\u001b]0;owned\u0007 \u202e \u009b2J\r\n';
    const server = createServer((request, response) => {
      response.writeHead(request.url.includes('/v1/jobs?') ? 200 : 404,
        { 'content-type': 'application/json' });
      response.end(JSON.stringify({ data: [{ id: 'job_x', status: nasty,
        lane: nasty, model: nasty, status_reason: nasty }], has_more: true,
      last_id: nasty, error: { type: nasty, message: nasty } }));
    });
    await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
    const url = `http://127.0.0.1:${server.address().port}`;
    const list = await run(['ls'], { url });
    const error = await run(
      ['get', 'job_0199f6a2-5c1e-7abc-9def-0123456789ab'], { url });
    server.close();
    assert.equal(list.code, 0);
    assert.equal(error.code, 5);
    assert.match(list.out, /\\x1b\]0;owned\\x07 \\u202e \\u009b2J\\r\\n/);
    for (const text of [list.out, list.err, error.out, error.err]) {
      assert.doesNotMatch(text, /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202e]/);
    }
  });

  test('a list goes on where pages are short or empty', async () => {
    const id = (n) => `job_0199f6a2-5c1e-7abc-9def-00000000000${n}`;
    const pages = [[], [9], [], [8, 7], [6]];
    const asked = [];
    const server = createServer((request, response) => {
      const query = new URL(request.url, 'http://x').searchParams;
      const place = query.get('after_id');
      const page = place === null ? 0 : 6 - Number(place.at(-1));
      asked.push([query.get('limit'), query.get('lane'), page]);
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({
        data: pages[page].map((n) => ({ id: id(n), cost_usd: 0.0021 })),
        has_more: page < 4, first_id: pages[page].length ? id(9) : null,
        last_id: page < 4 ? id(5 - page) : null }));
    });
    await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
    const url = `http://127.0.0.1:${server.address().port}`;
    const ls = (...args) => run(['ls', 'lane:interactive', ...args], { url });
    const one = await ls('-n', '1');
    assert.equal(one.code, 0);
    assert.match(one.out, new RegExp(`^${id(9)} `, 'm'));
    assert.equal(one.err, `more with --cursor ${id(4)}\n`);
    assert.deepEqual(asked.splice(0),
      [['1', 'interactive', 0], ['1', 'interactive', 1]]);
    const all = JSON.parse((await ls('-n', '20', '--json')).out);
    assert.deepEqual(all.data.map((job) => job.id), [9, 8, 7, 6].map(id));
    assert.equal(all.data[0].cost_usd, 0.0021);
    assert.equal(all.has_more, false);
    assert.equal(all.first_id, id(9));
    assert.deepEqual(asked.map(([limit]) => limit),
      ['20', '20', '19', '19', '17']);
    server.close();
  });

  test('a replay names the generation that it means', async () => {
    const asked = [];
    const id = 'job_0199f6a2-5c1e-7abc-9def-0123456789ab';
    const server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.setHeader('longhaul-request-id', 'req_1');
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ object: 'dead_letter', id, generation: 3 }));
    });
    await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
    const url = `http://127.0.0.1:${server.address().port}`;
    assert.equal((await run(['dlq', 'replay', id], { url })).code, 0);
    assert.equal((await run(['dlq', 'discard', id], { url })).code, 0);
    server.close();
    const path = `/v1/dead-letters/${id}`;
    assert.deepEqual(asked, [
      `GET ${path}`, `POST ${path}/replay?generation=3`,
      `GET ${path}`, `POST ${path}/discard?generation=3`]);
  });

  test('something that is no longhaul server is named as such', async () => {
    const server = createServer((request, response) => {
      response.end('<html>Welcome</html>');
    });
    await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
    const done = await run(['ls'],
      { url: `http://127.0.0.1:${server.address().port}` });
    server.close();
    assert.equal(done.code, 1);
    assert.match(done.err, /is it a longhaul server\?/);
    assert.equal((await run(['ls'], { url: 'ftp://x' })).code, 2);
  });
});
