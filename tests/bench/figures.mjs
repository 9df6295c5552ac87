// The figures of docs/performance.md, one function each. A function returns
// rows of the table: figure, measured, reference, ratio, wanted, ok.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bodyFile, clearRedis, cpuMs, cpuOf, drained, leftInFlight, measure, medianOf,
  megabytes, ms, peakBytes, percent, perSecond, prefix, redisBenchmark, repeat,
  resetPeak, residentBytes, runs, scriptSha1, size, sleep, startInstallation,
  startLoad, tmpdir } from './lib.mjs';

/* --- durable submits --------------------------------------------------------- */

/** The words of the enqueue script as the submitter sent them for a job that
 * waits, with a random id. */
async function enqueueWords(db) {
  const [id] = await db.ask('ZRANGE', `${prefix}ids`, 0, 0);
  const [queue, meta, body, stored] = await db.ask('HMGET', `${prefix}job:${id}`,
    'q', 'meta', 'req', 'sz');
  const sha1 = scriptSha1('enqueue');
  const [known] = await db.ask('SCRIPT', 'EXISTS', sha1);
  if (!known) throw new Error('the submitter sends another enqueue script');
  return ['EVALSHA', sha1, '1', prefix, `${id.slice(0, -12)}__rand_int__`, queue,
    meta, body, stored, '0', '604800000', '', 'sha256', '1000000', '2147483648'];
}

export async function submits() {
  const jobs = size(40_000);
  const body = bodyFile(1024);
  const all = await startInstallation({ submitter: true });
  const submit = (n) => measure('load', 'submit', '--to', all.submitter.to,
    '--connections', 64, '--requests', n, '--body', body);
  await submit(size(5000));
  const words = await enqueueWords(all.db);
  const results = await repeat(async () => {
    await clearRedis(all.db);
    const before = cpuMs(all.submitter.pid);
    const submits = await submit(jobs);
    const cpuUs = (cpuMs(all.submitter.pid) - before) * 1000 / jobs;
    await clearRedis(all.db);
    const script = await redisBenchmark(all.redis, jobs, words);
    const stored = await all.db.ask('ZCARD', `${prefix}ids`);
    if (stored < jobs * 0.99) throw new Error(`the script stored ${stored}`);
    await clearRedis(all.db);
    const xadd = await redisBenchmark(all.redis, jobs,
      ['XADD', 'bench', '*', 'i', 'job___rand_int__', 'req', readFileSync(body)]);
    return { ...submits, cpuUs, script, xadd };
  });
  await all.stop();
  const rate = medianOf(results, (r) => r.rate);
  const script = medianOf(results, (r) => r.script);
  const xadd = medianOf(results, (r) => r.xadd);
  const toScript = medianOf(results, (r) => r.rate / r.script);
  const toXadd = medianOf(results, (r) => r.rate / r.xadd);
  const p99 = medianOf(results, (r) => r.p99_ms);
  return [
    { figure: 'durable submits, 64 connections, 1 KB', measured: perSecond(rate),
      reference: `${perSecond(script)} same script, redis-benchmark`,
      ratio: percent(toScript), wanted: '>= 60 %', ok: toScript >= 0.6 },
    { figure: '  the same', measured: perSecond(rate),
      reference: `${perSecond(xadd)} plain XADD`, ratio: percent(toXadd),
      wanted: '>= 40 %', ok: toXadd >= 0.4 },
    { figure: '  p99', measured: ms(p99), wanted: '< 15 ms', ok: p99 < 15 },
    { figure: '  CPU of the submitter a job',
      measured: `${medianOf(results, (r) => r.cpuUs).toFixed(1)} us` },
  ];
}

/* --- submit to committed result ------------------------------------------------ */

export async function pipeline() {
  const jobs = size(20_000);
  const body = bodyFile(1024, 'claude-sonnet-5-5');
  const all = await startInstallation({ submitter: true, worker: true,
    upstream: true });
  const submit = (n) => measure('load', 'submit', '--to', all.submitter.to,
    '--connections', 256, '--requests', n, '--body', body);
  const loop = (n) => measure('curl_loop', '--url', `${all.claude.url}/v1/messages`,
    '--requests', n, '--connections', 256, '--body', body);
  await submit(size(2000));
  await loop(size(2000));
  await drained(all);
  const results = await repeat(async () => {
    const reference = await loop(jobs);
    const cpu = cpuOf(all.ours());
    const redisCpu = cpuMs(all.redis.pid);
    const began = performance.now();
    await submit(jobs);
    await drained(all);
    const seconds = (performance.now() - began) / 1000;
    return { rate: jobs / seconds, reference: reference.rate,
      loopUs: reference.cpu_us,
      cpuUs: (cpuOf(all.ours()) - cpu) * 1000 / jobs,
      redisUs: (cpuMs(all.redis.pid) - redisCpu) * 1000 / jobs };
  });
  await all.stop();
  const ratio = medianOf(results, (r) => r.rate / r.reference);
  const cpuUs = medianOf(results, (r) => r.cpuUs);
  const redisUs = medianOf(results, (r) => r.redisUs);
  const loopUs = medianOf(results, (r) => r.loopUs);
  return [
    { figure: `submit to committed result, ${jobs} jobs`,
      measured: perSecond(medianOf(results, (r) => r.rate)),
      reference: `${perSecond(medianOf(results, (r) => r.reference))} bare libcurl`,
      ratio: percent(ratio), wanted: '>= 30 %', ok: ratio >= 0.3 },
    { figure: '  CPU of submitter and worker a job',
      measured: `${cpuUs.toFixed(0)} us`,
      reference: `${loopUs.toFixed(0)} us a call of bare libcurl`,
      ratio: `${(cpuUs / loopUs).toFixed(1)} x`,
      wanted: '< 100 us', ok: cpuUs < 100 },
    { figure: '  CPU of Redis a job', measured: `${redisUs.toFixed(0)} us` },
  ];
}

/* --- ten thousand calls in flight ------------------------------------------------ */

export async function inflight() {
  const calls = size(10_000);
  const rounds = 5;
  const latencyS = 5;
  const body = bodyFile(1024, `mock-slow-${latencyS}s`);
  const results = await repeat(async () => {
    const all = await startInstallation({ submitter: true, upstream: true,
      env: { LONGHAUL_WORKER_CONCURRENCY: String(calls) } });
    await measure('load', 'submit', '--to', all.submitter.to, '--connections', 64,
      '--requests', calls * rounds, '--body', body);
    all.worker = await all.startWorker();
    // All slots are busy from the end of the first round to the last one's start.
    await leftInFlight(all, calls * (rounds - 1));
    const began = performance.now();
    await leftInFlight(all, calls);
    const seconds = (performance.now() - began) / 1000;
    await drained(all);
    const finished = await finishedJobs(all.worker);
    const peak = peakBytes(all.worker.pid);
    const cpuUs = cpuMs(all.worker.pid) * 1000 / (calls * rounds);
    await all.stop();
    const rate = calls * (rounds - 2) / seconds;
    return { rate, peak, cpuUs,
      failed: calls * rounds - (finished.succeeded ?? 0) };
  });
  const peak = medianOf(results, (r) => r.peak);
  const ideal = calls / latencyS;
  const rate = medianOf(results, (r) => r.rate);
  const failed = Math.max(...results.map((r) => r.failed));
  return [
    { figure: `${calls} calls in flight, ${latencyS} s each: memory`,
      measured: megabytes(peak), wanted: '< 300 MB', ok: peak < 300e6 },
    { figure: '  jobs that did not succeed', measured: String(failed),
      wanted: '0', ok: failed === 0 },
    { figure: '  rate while all are busy', measured: perSecond(rate),
      reference: `${perSecond(ideal)} ideal`, ratio: percent(rate / ideal),
      wanted: '>= 90 %', ok: rate >= 0.9 * ideal },
    { figure: '  CPU of the worker a job',
      measured: `${medianOf(results, (r) => r.cpuUs).toFixed(0)} us` },
  ];
}

/** Jobs that a worker has ended, by outcome. */
async function finishedJobs(worker) {
  const text = await (await fetch(`${worker.url}/metrics`)).text();
  const counts = {};
  for (const line of text.split('\n')) {
    const match = /^longhaul_jobs_finished_total\{(.*)\} (\d+)/.exec(line);
    const state = match && /outcome="(\w+)"/.exec(match[1])?.[1];
    if (state) counts[state] = (counts[state] ?? 0) + Number(match[2]);
  }
  return counts;
}

/* --- one very large prompt ---------------------------------------------------------- */

async function withProbes(all, small, work) {
  const probes = {
    submit: ['probe', '--to', all.submitter.to, '--body', small],
    livez: ['probe', '--to', all.submitter.to, '--path', '/livez'],
    worker: ['probe', '--to', all.worker.to, '--path', '/livez'],
    redis: ['ping', '--to', `unix:${all.redis.socket}`],
    ...(all.status
      ? { status: ['probe', '--to', all.status.to, '--path', '/v1/jobs?limit=1'] } : {}),
  };
  const running = {};
  for (const [name, args] of Object.entries(probes)) {
    running[name] = await startLoad(...args, '--interval-ms', 5);
  }
  await work();
  const waits = {};
  for (const [name, probe] of Object.entries(running)) {
    waits[name] = (await probe.finish()).max_ms;
  }
  return waits;
}

const worst = (values) => Object.entries(values).reduce((a, b) => (b[1] > a[1] ? b : a));

export async function large() {
  const bytes = 31_000_000;
  const big = bodyFile(bytes, 'mock-ok'); // its context has no bound
  const small = bodyFile(1024, 'claude-sonnet-5-5');
  const all = await startInstallation({ submitter: true, worker: true,
    status: true, upstream: true });
  const post = (body, n) => measure('load', 'submit', '--to', all.submitter.to,
    '--requests', n, '--body', body);
  await post(small, 100);
  await drained(all);
  const results = await repeat(async () => {
    const quiet = worst(await withProbes(all, small, () => sleep(1000)));
    await drained(all);
    const watched = [...all.ours(), all.redis];
    watched.forEach((program) => resetPeak(program.pid));
    const before = watched.map((program) => residentBytes(program.pid));
    const cpu = cpuMs(all.submitter.pid);
    await post(big, 1);
    const cpuUsed = cpuMs(all.submitter.pid) - cpu;
    await drained(all);
    const growth = worst(Object.fromEntries(watched.map((program, i) =>
      [program.name, peakBytes(program.pid) - before[i]])));
    const waits = worst(await withProbes(all, small, async () => {
      await post(big, 1);
      await drained({ db: { ask: async () => largeLeft(all.db) } });
    }));
    await drained(all);
    return { cpu: cpuUsed, waits, quiet, growth };
  });
  await all.stop();
  const cpu = medianOf(results, (r) => r.cpu);
  const middle = (pick) => results.map(pick).sort((a, b) => a[1] - b[1])[runs >> 1];
  const wait = middle((r) => r.waits);
  const quiet = middle((r) => r.quiet);
  const growth = middle((r) => r.growth);
  return [
    { figure: '31 MB prompt: CPU of the submitter', measured: ms(cpu),
      wanted: '< 250 ms', ok: cpu < 250 },
    { figure: '  longest wait of another request meanwhile',
      measured: `${ms(wait[1])} (${wait[0]})`,
      reference: `${ms(quiet[1])} without it`, wanted: '<= 50 ms', ok: wait[1] <= 50 },
    { figure: '  most growth of a process',
      measured: `${megabytes(growth[1])} (${growth[0]})`,
      ratio: `${(growth[1] / bytes).toFixed(1)} x`, wanted: '<= 3 x',
      ok: growth[1] <= 3 * bytes },
  ];
}

/** How many large jobs are in flight (small ones come and go meanwhile). */
async function largeLeft(db) {
  return (await db.ask('KEYS', `${prefix}body:*`)).length;
}

/* --- many clients that wait ---------------------------------------------------------- */

export async function idle() {
  const clients = size(10_000);
  const env = { LONGHAUL_MAX_CONNECTIONS: '12000' };
  const results = await repeat(async () => {
    const all = await startInstallation({ submitter: true, status: true, env });
    const grown = {};
    for (const server of all.ours()) {
      const load = await startLoad('idle', '--to', server.to, '--connections',
        clients, '--path', '/livez');
      grown[server.name] = residentBytes(server.pid);
      await load.finish();
    }
    await all.stop();
    return worst(grown);
  });
  const [name, bytes] = results.sort((a, b) => a[1] - b[1])[runs >> 1];
  return [{ figure: `${clients} idle keep-alive clients: memory of the server`,
    measured: `${megabytes(bytes)} (${name})`, wanted: '< 30 MB', ok: bytes < 30e6 }];
}

export async function longpoll() {
  const clients = size(5000);
  const body = bodyFile(1024, 'mock-slow-10s');
  const ids = join(tmpdir('lh-ids-'), 'ids');
  const results = await repeat(async () => {
    const all = await startInstallation({ submitter: true, worker: true,
      status: true, upstream: true, env: { LONGHAUL_MAX_CONNECTIONS: '12000',
        LONGHAUL_WORKER_CONCURRENCY: String(clients) } });
    await measure('load', 'submit', '--to', all.submitter.to, '--connections', 64,
      '--requests', clients, '--body', body, '--ids-out', ids);
    const load = await startLoad('longpoll', '--to', all.status.to,
      '--connections', clients, '--ids', ids);
    const result = await load.result();
    const peak = peakBytes(all.status.pid);
    await all.stop();
    return { ...result, peak };
  });
  const last = medianOf(results, (r) => r.max_ms);
  const failed = Math.max(...results.map((r) => r.failed));
  return [
    { figure: `${clients} long-polls: the last one woken`, measured: ms(last),
      reference: `p50 ${ms(medianOf(results, (r) => r.p50_ms))}; memory ` +
        megabytes(medianOf(results, (r) => r.peak)),
      wanted: '< 1000 ms', ok: last < 1000 && failed === 0 },
    { figure: '  long-polls without an answer', measured: String(failed),
      wanted: '0', ok: failed === 0 },
  ];
}

/* --- a long queue ------------------------------------------------------------------- */

/** Submit and claim rate beside what waits already: a round adds as many jobs
 * as it takes. */
async function ratesBeside(all, body) {
  const jobs = size(5000);
  const submit = await measure('load', 'submit', '--to', all.submitter.to,
    '--connections', 64, '--requests', jobs, '--body', body);
  const claim = await measure('claim', '--redis', all.redis.url, '--queue',
    'standard:other', '--jobs', jobs);
  return { submit: submit.rate, claim: claim.rate };
}

const memoryOf = (all) => all.ours().map(({ pid }) => residentBytes(pid));

async function redisBytes(db) {
  const info = await db.ask('INFO', 'memory');
  return Number(/used_memory:(\d+)/.exec(info)[1]);
}

/** Two installations, so that both are measured in turns: the disk's speed
 * changes while a million jobs are submitted. */
export async function million() {
  const few = size(10_000);
  const many = size(1_000_000);
  const body = bodyFile(1024, 'mock-slow-300s');
  const fill = (all, n) => measure('load', 'submit', '--to', all.submitter.to,
    '--connections', 64, '--requests', n, '--body', body);
  const start = async () => {
    const all = await startInstallation({ submitter: true, status: true,
      upstream: true, env: { LONGHAUL_MAX_QUEUED_JOBS: '3000000',
        LONGHAUL_MAX_QUEUED_BYTES: '16GiB' } });
    all.emptyBytes = await redisBytes(all.db);
    await fill(all, few);
    all.worker = await all.startWorker(); // takes 256 jobs and keeps them busy
    await sleep(1000);
    await ratesBeside(all, body); // warms up
    return all;
  };
  const short = await start();
  const long = await start();
  const before = memoryOf(long);
  await fill(long, many - few);
  await sleep(5000);
  const bytesPerJob = (await redisBytes(long.db) - long.emptyBytes) /
    await long.db.ask('ZCARD', `${prefix}ids`);
  const rounds = [];
  for (let i = 0; i < 4 * runs; i++) { // many, because each is short
    rounds.push({ short: await ratesBeside(short, body),
      long: await ratesBeside(long, body) });
  }
  const after = memoryOf(long);
  const grown = Object.fromEntries(long.ours().map((program, i) =>
    [program.name, after[i] - before[i]]));
  await short.stop();
  await long.stop();
  const row = (figure, rate) => {
    const ratio = medianOf(rounds, (r) => r.long[rate] / r.short[rate]);
    return { figure, measured: perSecond(medianOf(rounds, (r) => r.long[rate])),
      reference:
        `${perSecond(medianOf(rounds, (r) => r.short[rate]))} with ${few}`,
      ratio: percent(ratio), wanted: '>= 80 %', ok: ratio >= 0.8 };
  };
  const [name, bytes] = worst(grown);
  return [
    row(`${many} jobs queued: claim and finish`, 'claim'),
    row('  submit', 'submit'),
    { figure: '  most growth of a program', measured: `${megabytes(bytes)} (${name})`,
      wanted: '< 2 MB', ok: bytes < 2e6 },
    { figure: '  Redis bytes a job', measured: String(Math.round(bytesPerJob)),
      reference: `of which request ${readFileSync(body).length}` },
  ];
}

/* --- batches ------------------------------------------------------------------------ */

export { results } from './results.mjs';
