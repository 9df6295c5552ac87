// What `longhaul bulk` costs, says that it cost, and promises not to exceed.
// The simulator's answers are not marked here, so that they have a price.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { bin, startFakeClaude, startProcess, stopAll, tmpdir, until }
  from './lib/index.mjs';

const MODEL = 'claude-opus-5-5';

describe('bulk costs', () => {
  let claude;
  let up;
  let dir;
  after(stopAll);
  before(async () => {
    dir = tmpdir('longhaul-bulk-cost-');
    claude = await startFakeClaude({ args: ['--unmarked'] });
    up = await startProcess(bin('longhaul'), { args: ['up', '--port', '0',
      '--data', join(dir, 'var'), '--workers', '1'],
    env: { ANTHROPIC_BASE_URL: claude.url, ANTHROPIC_API_KEY: 'x' },
    waitFor: /^ready (http:\/\/\S+)\n/m, timeoutMs: 30_000 });
    [, up.url] = up.match;
  });

  const bulk = (...args) => new Promise((resolve) => {
    const child = spawn(bin('longhaul'), ['bulk', ...args], { cwd: dir,
      stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env.PATH,
        LANG: 'C.UTF-8', LONGHAUL_URL: up.url } });
    let out = '';
    let err = '';
    child.stdout.on('data', (data) => { out += data; });
    child.stderr.on('data', (data) => { err += data; });
    child.on('close', (code) => resolve({ code, out, err }));
  });
  const file = (name, text) => writeFileSync(join(dir, name), text);
  const rows = (count, from = 0) => `word\n${Array.from({ length: count },
    (_, i) => `${`word ${from + i} `.repeat(500)}\n`).join('')}`;
  const linesOf = (name) => (existsSync(join(dir, name))
    ? readFileSync(join(dir, name), 'utf8').split('\n').filter(Boolean)
      .map((line) => JSON.parse(line)) : []);
  const sumOf = (lines) =>
    lines.reduce((sum, line) => sum + Number(line.cost_usd), 0);
  const send = (input, output, ...more) => bulk('run', input, '-t', 't.md',
    '-o', output, '-m', MODEL, '--yes', ...more);

  test('what the answers cost is told everywhere', async () => {
    file('t.md', 'Write ten sentences about {{word}}.');
    file('told.csv', rows(30));
    const done = await send('told.csv', 'told.jsonl', '--progress', 'json',
      '--summary-json', 'told.json', '--limit', '20');
    assert.equal(done.code, 0, done.err);
    const lines = linesOf('told.jsonl');
    assert.equal(lines.length, 20);
    const usd = sumOf(lines);
    assert.ok(usd > 0.05, `${usd}`);
    const dollars = `$${usd.toFixed(2)}`;
    assert.ok(done.err.includes(`failed 0, not sent 10, ${dollars}: `),
      `${dollars}: ${done.err}`);
    const summary = JSON.parse(readFileSync(join(dir, 'told.json'), 'utf8'));
    assert.ok(Math.abs(summary.cost_usd - usd) < 0.000002, summary.cost_usd);
    const progress = done.err.split('\n').filter((line) => line[0] === '{')
      .map((line) => JSON.parse(line)).at(-1);
    assert.ok(Math.abs(progress.cost_usd - usd) < 0.000002,
      progress.cost_usd);
    const status = await bulk('status', lines[0].batch);
    assert.match(status.out, new RegExp(`^cost +\\$${
      usd.toFixed(4).replace('.', '\\.')}$`, 'm'));

    const again = await send('told.csv', 'told.jsonl', '--progress', 'plain');
    assert.equal(again.code, 0, again.err);
    assert.ok(again.err.includes(`${dollars} saved`), again.err);
    const rest = sumOf(linesOf('told.jsonl')) - usd;
    assert.ok(again.err.includes(`bulk: done 30, failed 0, $${
      rest.toFixed(2)}: told.jsonl`), `${rest}: ${again.err}`);
    assert.match(again.err, /told\.jsonl {2}30\/30 .*\$\d+\.\d\d/);
  });

  test('whole requests keep the options that stand beside them', async () => {
    const line = (id, more) => `${JSON.stringify({ custom_id: id, params: {
      model: 'mock-ok', max_tokens: 8, messages: [{ role: 'user',
        content: id }] }, ...more })}\n`;
    file('whole.jsonl', line('plain') + line('own', { longhaul: {
      lane: 'interactive', tags: ['t1'] } }));
    const args = ['run', 'whole.jsonl', '-o', 'whole.out.jsonl', '--yes',
      '--id-column', 'custom_id', '--lane', 'standard'];
    const refused = await bulk(...args, '--max-cost', '5');
    assert.equal(refused.code, 2, refused.err);
    assert.match(refused.err, /whole requests cannot be priced/);
    assert.doesNotMatch(refused.err, /no price is known/);
    assert.deepEqual(linesOf('whole.out.jsonl'), []);
    const done = await bulk(...args);
    assert.equal(done.code, 0, done.err);
    const jobs = await Promise.all(linesOf('whole.out.jsonl').map(
      async (answer) => (await fetch(`${up.url}/v1/jobs/${answer.job_id}`))
        .json()));
    assert.deepEqual(jobs.map((job) => [job.custom_id, job.lane, job.tags])
      .sort(), [['own', 'interactive', ['t1']], ['plain', 'standard', []]]);
  });

  const shared = (chars) => `${'Be brief, and say only what you know. '.repeat(
    Math.ceil(chars / 38))}\n{{word}}`;
  const batchesOf = async (run) => (await (await fetch(
    `${up.url}/v1/batches?run=${run}`)).json()).data;

  test('what the rows share is written into the cache once and read by the '
    + 'others', async () => {
    file('t.md', shared(8000));
    file('cached.csv', rows(60));
    const done = await send('cached.csv', 'cached.jsonl', '--in-order',
      '--max-cost', '20');
    assert.equal(done.code, 0, done.err);
    assert.match(done.err, /sent 1 row: [^]*the others follow[^]*sent 59 rows: /);
    const lines = linesOf('cached.jsonl');
    assert.deepEqual(lines.map((line) => line.line),
      Array.from({ length: 60 }, (_, i) => i + 2));
    assert.deepEqual(lines.map((line) =>
      line.usage.cache_creation_input_tokens > 0), lines.map((_, i) => i === 0));
    assert.deepEqual(lines.map((line) =>
      line.usage.cache_read_input_tokens > 0), lines.map((_, i) => i > 0));
    const [, most] = /at most \$(\d+\.\d+)/.exec(done.err);
    assert.ok(sumOf(lines) < Number(most), `${sumOf(lines)} < ${most}`);

    // A few rows are not worth the wait; more of them later are.
    file('cached.csv', rows(65));
    const few = await send('cached.csv', 'cached.jsonl', '--in-order');
    assert.match(few.err, /sent 5 rows: /);
    assert.doesNotMatch(few.err, /the others follow/);
    file('cached.csv', rows(80));
    const more = await send('cached.csv', 'cached.jsonl', '--in-order');
    assert.match(more.err, /sent 1 row: [^]*sent 14 rows: /);
    assert.deepEqual(linesOf('cached.jsonl').map((line) => line.line),
      Array.from({ length: 80 }, (_, i) => i + 2));
  });

  test('stopped behind the row that goes first, it goes on with the others',
    async () => {
      // Of a model that is not known, more is needed for the cache.
      file('t.md', shared(40_000));
      file('first.csv', 'word\n' + Array.from({ length: 20 },
        (_, i) => `w${i}\n`).join(''));
      const args = ['bulk', 'run', 'first.csv', '-t', 't.md', '-o',
        'first.jsonl', '-m', 'mock-slow-2s', '--yes'];
      const start = () => startProcess(bin('longhaul'), { args, cwd: dir,
        env: { LONGHAUL_URL: up.url } });
      const client = await startProcess(bin('longhaul'), { args, cwd: dir,
        env: { LONGHAUL_URL: up.url }, waitFor: /sent 1 row: \S+/ });
      client.signal('SIGINT');
      assert.equal((await client.exited).code, 130);
      assert.match(client.stderr(), /under way 1, not sent 19/);
      const killed = await start();
      await until(() => /under way +1 rows/.test(killed.stderr()),
        { what: 'the start' });
      await killed.kill();
      const done = await bulk(...args.slice(1));
      assert.equal(done.code, 0, done.err);
      assert.doesNotMatch(done.err, /sent 1 row/);
      assert.match(done.err, /sent 19 rows/);
      const lines = linesOf('first.jsonl');
      assert.equal(new Set(lines.map((line) => line.custom_id)).size, 20);
      assert.equal(lines.length, 20);
      assert.deepEqual((await batchesOf(lines[0].run))
        .map((batch) => batch.accepted).sort(), [1, 19]);
    });
});
