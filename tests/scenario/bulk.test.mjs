// `longhaul bulk`: ten thousand rows through kills of everything, and input
// that is not what it should be.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, openSync, readFileSync, rmSync, writeFileSync,
  writeSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { bin, freePort, root, sleep, startFakeClaude, startProcess, stopAll,
  tmpdir, until } from './lib/index.mjs';

const UP = { waitFor: /^ready (http:\/\/\S+)\n/m, timeoutMs: 30_000 };
const SEED = Number(process.env.LONGHAUL_TEST_SEED ?? 4);

/** Numbers in [0, 1) that a seed repeats (mulberry32). */
function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function run(args, { url, input = '', cwd } = {}) {
  return new Promise((resolve) => {
    const child = spawn(bin('longhaul'), args, { cwd, stdio: 'pipe',
      env: { PATH: process.env.PATH, LANG: 'C.UTF-8', LONGHAUL_URL: url } });
    let out = '';
    let err = '';
    child.stdout.on('data', (data) => { out += data; });
    child.stderr.on('data', (data) => { err += data; });
    child.on('close', (code, signal) => resolve({ code, signal, out, err }));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

/** The whole lines of a file, each of which must be JSON. */
function linesOf(path) {
  if (!existsSync(path)) return [];
  const text = readFileSync(path, 'utf8');
  return text.slice(0, text.lastIndexOf('\n') + 1).split('\n').slice(0, -1)
    .map((line) => JSON.parse(line));
}

const ids = (path) => linesOf(path).map((line) => line.custom_id);

/** kill -9 for all that this `up` runs, and for itself; held still before, so
 * that it starts nothing again. */
async function killAll(up) {
  up.signal('SIGSTOP');
  for (const [, pid] of up.stderr().matchAll(
    /"event":"child_started","child":"[^"]+","pid":(\d+)/g)) {
    try { process.kill(Number(pid), 'SIGKILL'); } catch { /* it has ended */ }
  }
  await up.kill();
}

function assertEachOnce(list, what) {
  assert.equal(new Set(list).size, list.length, `${what}: a row twice`);
}

describe('bulk', () => {
  after(stopAll);

  test('ten thousand rows survive three kills of client and servers, each '
    + 'once and paid for once', { timeout: 300_000 }, async (t) => {
    const ROWS = 10_000;
    const CONCURRENCY = 64;
    const next = random(SEED);
    const dir = tmpdir('longhaul-bulk-');
    const claude = await startFakeClaude();
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const startUp = () => startProcess(bin('longhaul'), { ...UP, args: ['up',
      '--port', String(port), '--data', join(dir, 'var'), '--workers', '1'],
    env: { ANTHROPIC_BASE_URL: claude.url, ANTHROPIC_API_KEY: 'sk-ant-bulk',
      LONGHAUL_JOB_HEADER: 'x-longhaul-job',
      LONGHAUL_WORKER_CONCURRENCY: String(CONCURRENCY) } });
    const input = join(dir, 'in.csv');
    const output = join(dir, 'out.jsonl');
    const errors = join(dir, 'out.errors.jsonl');
    writeFileSync(join(dir, 't.md'), 'Answer in a word: {{question}}');
    writeFileSync(input, `id,question\r\n${Array.from({ length: ROWS },
      (_, i) => `q-${i},"What, in ""row"" ${i}?"\r\n`).join('')}`);
    const args = ['bulk', 'run', input, '-t', join(dir, 't.md'), '-o', output,
      '-m', 'mock-flaky-5pct', '--max-tokens', '16', '--id-column', 'id',
      '--yes', '--progress', 'json'];
    const startClient = () => startProcess(bin('longhaul'), { args, cwd: dir,
      env: { LONGHAUL_URL: url } });

    let up = await startUp();
    let logs = '';
    const marks = [0, 1, 2].map((i) =>
      Math.floor(((i + next()) / 3.3) * ROWS));
    for (const [i, mark] of marks.entries()) {
      const client = await startClient();
      if (i === 0) // the upload, or a little later
        await sleep(next() * 400);
      else
        await until(() => client.child.exitCode !== null
          || ids(output).length >= mark, { timeoutMs: 90_000, everyMs: 50,
          what: `${mark} answers: ${client.stderr().slice(-1000)}` });
      t.diagnostic(`kill ${i + 1} after ${ids(output).length} answers, `
        + `${Math.round(performance.now())} ms`);
      const kills = [() => client.kill(), () => killAll(up)];
      if (next() < 0.5) kills.reverse();
      await kills[0]();
      await sleep(next() * 100);
      await kills[1]();
      logs += up.stderr();
      const done = ids(output);
      assertEachOnce(done, `after kill ${i + 1}`);
      assertEachOnce(ids(errors), `after kill ${i + 1}`);
      up = await startUp();
    }
    const last = await run(args, { url, cwd: dir });
    assert.equal(last.code, 0, last.err.slice(-3000));
    assert.match(last.err, /bulk: done 10000, failed 0.*out\.jsonl\n$/);

    const lines = linesOf(output);
    assertEachOnce(lines.map((line) => line.custom_id), 'the output');
    assert.equal(lines.length, ROWS);
    assert.ok(!existsSync(errors), 'nothing failed');
    for (const line of lines) {
      assert.equal(line.status, 'succeeded');
      assert.ok(line.text.length > 0 && line.usage.output_tokens > 0);
    }
    assert.equal(new Set(lines.map((line) => line.job_id)).size, ROWS,
      'one job a row');

    // Paid for twice is only what was in flight when its worker died.
    const paid = new Map();
    for (const { job, status } of claude.ends())
      if (status === 200) paid.set(job, (paid.get(job) ?? 0) + 1);
    for (const line of lines)
      assert.ok(paid.get(line.job_id) >= 1, line.custom_id);
    assert.equal(paid.size, ROWS, 'no job but those of the rows was paid for');
    const extra = [...paid.values()].reduce((sum, n) => sum + n - 1, 0);
    const inFlight = [...(logs + up.stderr()).matchAll(
      /"event":"worker_taken_over".*"jobs":(\d+)/g)]
      .reduce((sum, [, jobs]) => sum + Number(jobs), 0);
    t.diagnostic(`${extra} paid for again of ${inFlight} in flight`);
    assert.ok(extra <= inFlight, `${extra} of ${inFlight} paid for again`);
    assert.ok([...paid.values()].every((n) => n <= 1 + marks.length));

    // Once more there is nothing to do, and on another machine neither.
    const calls = claude.ends().length;
    const before = readFileSync(output);
    const again = await run(args, { url, cwd: dir });
    assert.equal(again.code, 0, again.err);
    assert.deepEqual(readFileSync(output), before);
    const elsewhere = await run(args.map((word) =>
      (word === output ? join(dir, 'other.jsonl') : word)), { url, cwd: dir });
    assert.equal(elsewhere.code, 0, elsewhere.err);
    assert.match(elsewhere.err, /10000 answers were there already/);
    assert.deepEqual(new Set(ids(join(dir, 'other.jsonl'))), new Set(ids(output)));
    assert.equal(claude.ends().length, calls, 'nothing was paid for');
    await up.stop();
  });

  test('a run that stands still says what it waits for', async () => {
    const dir = tmpdir('longhaul-bulk-');
    const up = await startProcess(bin('longhaul'), { ...UP, args: ['up',
      '--port', '0', '--data', join(dir, 'var'), '--no-demo', '--simulate'] });
    writeFileSync(join(dir, 't.md'), 'Say {{word}}.');
    writeFileSync(join(dir, 'in.csv'), 'word\na\nb\nc\nd\n');
    const env = { LONGHAUL_URL: up.match[1] };
    const client = await startProcess(bin('longhaul'), { cwd: dir, env,
      args: ['bulk', 'run', 'in.csv', '-t', 't.md', '-o', 'out.jsonl', '-m',
        'mock-401', '--limit', '3', '--yes', '--progress', 'bar'],
      waitFor: /sent 3 rows: (\S+)/ });
    await until(() => /0\/3 .*pool default is paused until .*API key/
      .test(client.stderr()), { timeoutMs: 20_000, what: 'the reason' });
    const status = await run(['bulk', 'status', client.match[1]],
      { url: up.match[1] });
    assert.match(status.out, /^waits for +pool default is paused until .*key/m);
    await client.kill();
    await up.stop();
  });

  describe('one installation', () => {
    let up;
    let dir;
    const batches = async () =>
      (await (await fetch(`${up.url}/v1/batches?limit=1000`)).json()).data;
    const file = (name, text) => {
      writeFileSync(join(dir, name), text);
      return join(dir, name);
    };
    const bulk = (...args) => run(['bulk', ...args], { url: up.url, cwd: dir });
    const send = (input, output, ...more) => bulk('run', input, '-t', 't.md',
      '-o', output, '-m', 'mock-ok', '--yes', ...more);

    test('starts', async () => {
      dir = tmpdir('longhaul-bulk-');
      up = await startProcess(bin('longhaul'), { ...UP, args: ['up', '--port',
        '0', '--data', join(dir, 'var'), '--no-demo', '--simulate'] });
      up.url = up.match[1];
      file('t.md', 'Say {{word}}.');
    });

    test('bad input is named, and nothing is sent', async () => {
      file('other.jsonl', '{"custom_id":"a","run":"another"}\n');
      file('text.jsonl', 'my notes');
      file('u.md', 'Say {{wort}}.');
      const long = openSync(join(dir, 'long.csv'), 'w');
      writeSync(long, 'word\n"');
      for (let i = 0; i < 40; i++) writeSync(long, 'x'.repeat(1 << 20));
      writeSync(long, '"\n');
      const good = file('good.csv', 'word\nhello\n');
      const cases = [
        [['empty.csv', ''], [], 1, /empty\.csv is empty/],
        [['head.csv', 'word\n'], [], 1, /no rows/],
        [['utf8.csv', 'word\nhall\xf6\n', 'latin1'], [], 3,
          /line 2 +is not UTF-8 text/],
        [['head8.csv', 'w\xf6rd\nx\n', 'latin1'], [], 1,
          /line 1, the header, is not UTF-8/],
        [['utf16.csv', '\ufeffword\nx\n', 'utf16le'], [], 1, /not UTF-8|NUL/],
        [['ragged.csv', 'word,b\n1\n1,2,3\n'], [], 3,
          /line 2 +has 1 field, the header has 2[^]*line 3 +has 3 fields/],
        [['quote.csv', 'word\nok\n"open\nmore\n'], [], 1,
          /line 3 has a quote that is never closed/],
        [['lines.jsonl', '{"word":\n[]\n{"word":""}\n'], [], 3,
          /line 1 +is not JSON[^]*line 2 +is not a JSON object/],
        [['good.csv', 'word\nhello\n'], ['-t', 'u.md'], 1,
          /u\.md: line 1: there is no field {{wort}}; did you mean {{word}}\?/],
        [['good.csv', 'word\nhello\n'], ['--id-column', 'id'], 2,
          /--id-column id: there is no such column; the columns are: word/],
        [['good.csv', 'word\nhello\n'], ['--max-cost', '1'], 1,
          /no price is known for mock-ok/],
      ];
      for (const [[name, text, encoding], more, code, message] of cases) {
        writeFileSync(join(dir, name), text, encoding ?? 'utf8');
        const done = await send(name, 'bad.jsonl', ...more);
        assert.equal(done.code, code, `${name}: ${done.err}`);
        assert.match(done.err, message, name);
        rmSync(join(dir, 'bad.errors.jsonl'), { force: true });
        assert.ok(!existsSync(join(dir, 'bad.jsonl')), name);
      }
      const tooLong = await send('long.csv', 'bad.jsonl');
      assert.equal(tooLong.code, 3, tooLong.err);
      assert.match(tooLong.err, /line 2 +is longer than 32 MiB/);
      for (const output of ['other.jsonl', 'text.jsonl']) {
        const before = readFileSync(join(dir, output), 'utf8');
        const done = await send(good, output);
        assert.equal(done.code, 1, done.err);
        assert.match(done.err, /belongs to another run.*\n.*nothing was sent/);
        assert.equal(readFileSync(join(dir, output), 'utf8'), before);
      }
      const unasked = await bulk('run', good, '-t', 't.md', '-o', 'bad.jsonl',
        '-m', 'mock-ok');
      assert.equal(unasked.code, 2, unasked.err);
      assert.match(unasked.err, /not without --yes: this would send 1 rows/);
      assert.deepEqual(await batches(), []);
    });

    test('a bad row never stops the others', async () => {
      file('mixed.csv', '\ufeffid,word\r\n1,"a ""quoted""\r\nline"\r\n2\r\n'
        + '1,again\r\n3,c\r\n4, \r\n');
      const done = await send('mixed.csv', 'mixed.jsonl', '--id-column', 'id',
        '--join', '--in-order', '--summary-json', 'mixed.json');
      assert.equal(done.code, 3, done.err);
      assert.match(done.err, /line 5 +has the id of line 2, 1; it is left out/);
      assert.match(done.err, /line 7 +is empty in every column/);
      assert.match(done.err, /bulk: done 2, failed 0, bad rows 2.*: mixed\.jsonl, mixed\.errors\.jsonl\n$/);
      assert.deepEqual(linesOf(join(dir, 'mixed.jsonl')).map((line) =>
        [line.custom_id, line.line, line.row]), [
        ['1', 2, { id: '1', word: 'a "quoted"\r\nline' }],
        ['3', 6, { id: '3', word: 'c' }]]);
      assert.deepEqual(linesOf(join(dir, 'mixed.errors.jsonl')).map((line) =>
        [line.line, line.status, line.error.type]), [
        [4, 'not_sent', 'bad_row'], [7, 'not_sent', 'bad_row']]);
      const summary = JSON.parse(readFileSync(join(dir, 'mixed.json'), 'utf8'));
      assert.deepEqual([summary.exit_code, summary.done, summary.bad,
        summary.duplicates, summary.batches.length], [3, 2, 2, 1, 1]);
    });

    test('rows that the server refuses stay in the file of errors, also when '
      + 'nothing else is left to send', async () => {
      const line = (more) => `${JSON.stringify({ model: 'mock-ok',
        max_tokens: 8, messages: [{ role: 'user', content: 'y' }], ...more })}\n`;
      file('refused.csv', `id,word\nl1,short\nl2,${'word '.repeat(1_200_000)}\n`);
      file('refused.jsonl', line() + Array.from({ length: 102 }, (_, i) =>
        line({ max_tokens: 9 + i, longhaul: { lanne: 'bulk' } })).join(''));
      for (const [args, refused, reason] of [
        [['run', 'refused.csv', '-t', 't.md', '-m', 'claude-haiku-4-5',
          '--id-column', 'id', '-o', 'ref1.jsonl', '--yes'], 1, /tokens/],
        [['run', 'refused.jsonl', '-o', 'ref2.jsonl', '--yes'], 102, /lanne/],
      ]) {
        const output = join(dir, args.at(-2));
        for (let start = 1; start <= 3; start++) {
          const done = await bulk(...args);
          assert.equal(done.code, 3, `start ${start}: ${done.err}`);
          assert.match(done.err, new RegExp(`done 1, failed ${refused}\\b`));
          assert.equal(linesOf(output).length, 1);
          const errors = linesOf(output.replace('.jsonl', '.errors.jsonl'));
          assert.equal(errors.length, refused, `start ${start}`);
          assertEachOnce(errors.map(({ custom_id }) => custom_id), 'errors');
          assert.match(errors[0].error.message, reason);
          assert.doesNotMatch(done.err, /retry-failed/, 'it cannot help');
          for (const { line: at, status, error } of errors)
            assert.ok(at > 1 && status === 'not_sent' && error.message);
        }
      }
    });

    test('the summary is written however a run ends', async () => {
      const path = join(dir, 'last.json');
      const ended = async (...args) => {
        writeFileSync(path, '{"exit_code":0,"done":"yesterday"}');
        const done = await bulk(...args, '--summary-json', path);
        const summary = JSON.parse(readFileSync(path, 'utf8'));
        assert.equal(summary.exit_code, done.code, `${args}: ${done.err}`);
        return summary;
      };
      file('three.csv', 'word\na\nb\nc\n');
      file('none.md', 'Say {{nothing}}.');
      file('foreign.jsonl', 'my notes');
      const three = ['run', 'three.csv', '-m', 'mock-ok', '--yes'];
      for (const [code, ...args] of [
        [1, ...three, '-t', 'none.md', '-o', 'last.jsonl'],
        [1, ...three, '-t', 't.md', '-o', 'foreign.jsonl'],
        [2, ...three, '-t', 't.md'],
        [5, 'attach', 'batch_01a1fa98-4360-7180-9bd4-e803dad97185'],
      ]) {
        const summary = await ended(...args);
        assert.deepEqual([summary.exit_code, summary.done], [code, 0],
          String(args));
      }
      const client = await startProcess(bin('longhaul'), { cwd: dir,
        args: ['bulk', ...three, '-t', 't.md', '-o', 'last.jsonl',
          '--summary-json', path], waitFor: /does not answer/,
        env: { LONGHAUL_URL: `http://127.0.0.1:${await freePort()}` } });
      client.signal('SIGINT');
      await client.exited;
      assert.equal(JSON.parse(readFileSync(path, 'utf8')).exit_code, 130);
      const some = await ended(...three, '-t', 't.md', '-o', 'last.jsonl',
        '--limit', '1');
      assert.deepEqual([some.exit_code, some.done, some.not_sent], [0, 1, 2]);
      writeFileSync(path, 'as it was');
      await bulk(...three, '-t', 't.md', '--dry-run', '--summary-json', path);
      assert.equal(readFileSync(path, 'utf8'), 'as it was');
    });

    test('no prompt goes into a log unless it is asked for', async () => {
      file('secret.csv', 'word\nKittiwake\n');
      const args = ['run', 'secret.csv', '-t', 't.md', '-m', 'mock-ok'];
      const dry = await bulk(...args, '--dry-run');
      const sent = await bulk(...args, '-o', 'secret.jsonl', '--yes');
      for (const done of [dry, sent]) {
        assert.equal(done.code, 0, done.err);
        assert.doesNotMatch(done.err, /Kittiwake|prompt 1/);
      }
      assert.match((await bulk(...args, '--dry-run', '--show', '1')).err,
        /prompt 1 .*\nSay Kittiwake\.\n/);
    });

    test('what failed is in the file of errors until it is mended',
      async () => {
        // Two failures, then an answer: it takes three lives.
        const line = (model, more) => `${JSON.stringify({ model, max_tokens: 8,
          messages: [{ role: 'user', content: 'x' }], ...more })}\n`;
        file('fail.jsonl', line('mock-ok') + line('mock-500-twice',
          { longhaul: { max_attempts: 1 } }));
        const errors = join(dir, 'fails.errors.jsonl');
        const again = () =>
          bulk('run', 'fail.jsonl', '-o', 'fails.jsonl', '--yes');
        let done = await again();
        for (let life = 1; life <= 2; life++) {
          assert.equal(done.code, 3, done.err);
          const [failed, ...others] = linesOf(errors);
          assert.deepEqual(others, []);
          assert.equal(failed.error.type, 'api_error');
          assert.equal(linesOf(join(dir, 'fails.jsonl')).length, 1);
          const [, batch] = /bulk retry-failed (batch_\S+)/.exec(done.err);
          const retried = await bulk('retry-failed', batch);
          assert.equal(retried.code, 0, retried.err);
          assert.match(retried.err, /1 requests run again/);
          done = await again();
          assert.match(done.err, /to be sent +0 rows/);
        }
        assert.equal(done.code, 0, done.err);
        assert.equal(linesOf(join(dir, 'fails.jsonl')).length, 2);
        assert.ok(!existsSync(errors), 'there are none any more');
        assert.match((await bulk('status')).out, /1 succeeded, 1 failed/);
      });

    test('each batch of a failed row is named, and none for canceled rows',
      async () => {
        const line = (n, model) => `${JSON.stringify({ model, max_tokens: n,
          messages: [{ role: 'user', content: 'x' }] })}\n`;
        const once = () =>
          bulk('run', 'many.jsonl', '-o', 'many-out.jsonl', '--yes');
        const named = (done) => [...done.err.matchAll(
          /bulk retry-failed (batch_\S+)/g)].map(([, batch]) => batch);
        file('many.jsonl', line(1, 'mock-400') + line(2, 'mock-ok'));
        const [first, ...others] = named(await once());
        assert.ok(first && others.length === 0);
        file('many.jsonl', [1, 2, 3].map((n) =>
          line(n, n === 2 ? 'mock-ok' : 'mock-400')).join(''));
        const two = named(await once());
        assert.equal(two.length, 2);
        assert.equal(two[0], first);
        file('many.jsonl', [1, 2, 3, 4].map((n) =>
          line(n, n % 2 === 0 ? 'mock-ok' : 'mock-400')).join(''));
        assert.deepEqual(named(await once()), two, 'not that of the new row');

        file('hung.jsonl', line(5, 'mock-slow-20s'));
        const client = await startProcess(bin('longhaul'), { cwd: dir,
          args: ['bulk', 'run', 'hung.jsonl', '-o', 'hung-out.jsonl', '--yes'],
          env: { LONGHAUL_URL: up.url }, waitFor: /sent 1 row: (\S+)/ });
        assert.equal((await bulk('cancel', client.match[1])).code, 0);
        assert.equal((await client.exited).code, 3, client.stderr());
        assert.doesNotMatch(client.stderr(), /retry-failed/);
        const [{ status, error }] = linesOf(join(dir, 'hung-out.errors.jsonl'));
        assert.equal(status, 'canceled');
        assert.match(error.message, /^canceled before .* sends it again$/);
      });

    test('Ctrl-C leaves the batch to the server, and attach comes back to it',
      async () => {
        file('slow.csv', `word\n${Array.from({ length: 20 },
          (_, i) => `w${i}\n`).join('')}`);
        const args = ['bulk', 'run', 'slow.csv', '-t', 't.md', '-o',
          'slow.jsonl', '-m', 'mock-slow-2s', '--yes'];
        const client = await startProcess(bin('longhaul'), { args, cwd: dir,
          env: { LONGHAUL_URL: up.url }, waitFor: /sent 20 rows: (\S+)/ });
        const batch = client.match[1];
        client.signal('SIGINT');
        assert.equal((await client.exited).code, 130);
        assert.match(client.stderr(), new RegExp(`bulk attach ${batch} `));
        const attached = await bulk('attach', batch, '-o', 'slow.jsonl');
        assert.equal(attached.code, 0, attached.err);
        assertEachOnce(ids(join(dir, 'slow.jsonl')), 'attach');
        assert.equal(ids(join(dir, 'slow.jsonl')).length, 20);
        const done = await run(args, { url: up.url, cwd: dir });
        assert.match(done.err, /20 rows are in slow\.jsonl/);
      });

    test('--cancel-on-interrupt stops what is not done; it is sent anew later',
      async () => {
        const args = ['bulk', 'run', 'slow.csv', '-t', 't.md', '-o',
          'cancel.jsonl', '-m', 'mock-slow-3s', '--yes'];
        const client = await startProcess(bin('longhaul'), { cwd: dir,
          args: [...args, '--cancel-on-interrupt'],
          env: { LONGHAUL_URL: up.url }, waitFor: /sent 20 rows: (\S+)/ });
        client.signal('SIGINT');
        assert.equal((await client.exited).code, 130);
        assert.match(client.stderr(), /canceled batch_/);
        const batch = client.match[1];
        await until(async () => /ended/.test((await bulk('status', batch)).out),
          { what: 'the end' });
        const done = await run(args, { url: up.url, cwd: dir });
        assert.equal(done.code, 0, done.err);
        assertEachOnce(ids(join(dir, 'cancel.jsonl')), 'the output');
        assert.equal(ids(join(dir, 'cancel.jsonl')).length, 20);
      });

    test('a second process on the same output is refused', async () => {
      const args = ['bulk', 'run', 'slow.csv', '-t', 't.md', '-o',
        'lock.jsonl', '-m', 'mock-slow-1s', '--yes'];
      const client = await startProcess(bin('longhaul'), { args, cwd: dir,
        env: { LONGHAUL_URL: up.url }, waitFor: /sent 20 rows/ });
      const second = await run(args, { url: up.url, cwd: dir });
      assert.equal(second.code, 1);
      assert.match(second.err, /another longhaul is writing to lock\.jsonl/);
      assert.equal((await client.exited).code, 0, client.stderr());
    });

    test('the tickets of the examples, shown first and estimated', async () => {
      const tickets = join(root, 'examples/tickets.csv');
      const template = join(root, 'examples/summarise.md');
      const dry = await bulk('run', tickets, '-t', template, '--dry-run',
        '--id-column', 'ticket_id');
      assert.equal(dry.code, 0, dry.err);
      assert.match(dry.err, /244 rows, 8 columns, CSV, UTF-8, named by ticket_id/);
      assert.match(dry.err, /at most \$\d+\.\d\d by the prices of \d{4}-\d\d-\d\d/);
      assert.match(dry.err, /from the cache, at best/);
      const some = await bulk('run', tickets, '-t', template, '-o', 't.jsonl',
        '--id-column', 'ticket_id', '--limit', '10', '--yes', '--in-order');
      assert.equal(some.code, 0, some.err);
      assert.equal(ids(join(dir, 't.jsonl')).length, 10);
      const rest = await bulk('run', tickets, '-t', template, '-o', 't.jsonl',
        '--id-column', 'ticket_id', '--yes', '--in-order');
      assert.match(rest.err, /to be sent +234 rows/);
      const lines = linesOf(join(dir, 't.jsonl'));
      assert.equal(lines.length, 244);
      assert.deepEqual(lines.map((line) => line.line),
        lines.map((line) => line.line).sort((a, b) => a - b), 'in order');
    });
  });
});
