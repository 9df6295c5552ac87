// A download of a batch's results while the batch still runs, and what it
// does to those who submit and poll meanwhile.

import { execFile } from 'node:child_process';
import { createWriteStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { bodyFile, makeBody, measure, medianOf, megabytes, ms, peakBytes, percent,
  perSecond, repeat, residentBytes, resetPeak, runs, size, sleep, startInstallation,
  startLoad, tmpdir, until } from './lib.mjs';

const exec = promisify(execFile);
const secondsEach = 6;
const concurrency = 64;

/** Lines of a batch: `quick` ones that are answered at once, then `slow` ones,
 * half a second each, that are being worked on for the rest of the time. */
async function batchFile(quick, slow) {
  const path = join(tmpdir('lh-batch-'), 'batch.ndjson');
  const out = createWriteStream(path);
  const line = (n, params) => `{"custom_id":"row-${n}","params":${params}}\n`;
  const first = makeBody(300, 'claude-sonnet-5-5');
  const second = makeBody(300, 'mock-slow-500ms');
  for (let i = 0; i < quick + slow; i++) {
    if (!out.write(line(i, i < quick ? first : second))) {
      await new Promise((drained) => out.once('drain', drained));
    }
  }
  await new Promise((done) => out.end(done));
  return path;
}

const curl = async (...words) =>
  (await exec('curl', ['-sS', '--fail-with-body', ...words],
    { maxBuffer: 1 << 24 })).stdout;

/** One download into a file; rows and seconds. */
async function download(url, file) {
  const seconds = Number(await curl('-N', '-o', file, '-w', '%{time_total}', url));
  const { stdout } = await exec('wc', ['-l', file]);
  return { rows: Number(stdout.split(' ')[0]), seconds };
}

/** p99 of submits and polls while `work` runs. */
async function beside(all, job, body, work) {
  const probes = [
    await startLoad('probe', '--to', all.submitter.to, '--body', body,
      '--interval-ms', 2),
    await startLoad('probe', '--to', all.status.to, '--path', `/v1/jobs/${job}`,
      '--interval-ms', 2)];
  await work();
  const [submit, poll] = await Promise.all(probes.map((probe) => probe.finish()));
  return { submit: submit.p99_ms, poll: poll.p99_ms };
}

export async function results() {
  const quick = size(100_000);
  const slow = 2000 + 2 * concurrency * runs * (2 * secondsEach + 6);
  const body = bodyFile(1024, 'claude-sonnet-5-5');
  const all = await startInstallation({ submitter: true, status: true, worker: true,
    upstream: true, env: { LONGHAUL_WORKER_CONCURRENCY: String(concurrency) } });
  const file = await batchFile(quick, slow);
  const batch = JSON.parse(await curl('-X', 'POST', '-T', file, '-H',
    'content-type: application/x-ndjson', `${all.submitter.url}/v1/batches`));
  const self = `${all.status.url}/v1/batches/${batch.id}`;
  const counts = async () => (await (await fetch(self)).json()).counts;
  await until(async () => (await counts()).succeeded >= quick,
    { timeoutMs: 600_000, everyMs: 500, what: 'the quick items' });
  const ids = join(tmpdir('lh-ids-'), 'ids');
  writeFileSync(ids, '');
  await measure('load', 'submit', '--to', all.submitter.to, '--requests', 1,
    '--body', body, '--ids-out', ids);
  const job = (await exec('head', ['-1', ids])).stdout.trim();
  const target = join(tmpdir('lh-results-'), 'results.jsonl');
  const grown = [];
  const runsOf = await repeat(async () => {
    const quiet = await beside(all, job, body, () => sleep(secondsEach * 1000));
    const before = residentBytes(all.status.pid);
    resetPeak(all.status.pid);
    const downloads = [];
    const busy = await beside(all, job, body, async () => {
      const end = Date.now() + secondsEach * 1000;
      do downloads.push(await download(`${self}/results`, target));
      while (Date.now() < end);
    });
    grown.push(peakBytes(all.status.pid) - before);
    const { queued, running } = await counts();
    if (queued + running === 0) throw new Error('the batch ended too early');
    const short = downloads.find(({ rows }) => rows < quick);
    if (short) throw new Error(`a download of ${short.rows} rows`);
    return { quiet, busy, rate: downloads.reduce((sum, d) => sum + d.rows, 0)
      / downloads.reduce((sum, d) => sum + d.seconds, 0) };
  });
  await all.stop();
  const row = (figure, which) => {
    const quiet = medianOf(runsOf, (r) => r.quiet[which]);
    const busy = medianOf(runsOf, (r) => r.busy[which]);
    const ratio = medianOf(runsOf, (r) => r.busy[which] / r.quiet[which]);
    return { figure, measured: ms(busy), reference: `${ms(quiet)} without it`,
      ratio: percent(ratio), wanted: '<= 200 %', ok: ratio <= 2 };
  };
  const growth = Math.max(...grown);
  return [
    { figure: `download of ${quick} results while the batch runs`,
      measured: perSecond(medianOf(runsOf, (r) => r.rate)) },
    row('  p99 of submits meanwhile', 'submit'),
    row('  p99 of polls meanwhile', 'poll'),
    { figure: '  growth of the status API', measured: megabytes(growth),
      wanted: '< 16 MB', ok: growth < 16e6 },
  ];
}
