// The figure `batch`: one create of 100,000 small requests, one of 250 MB,
// and what others notice of it.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { bodyFile, clearRedis, makeBody, measure, medianOf, megabytes, ms,
  peakBytes, perSecond, repeat, residentBytes, resetPeak, size, startInstallation,
  startLoad } from './lib.mjs';
import { sleep } from '../scenario/lib/index.mjs';

const MODEL = 'claude-sonnet-5-5';
const PIECE = 64 << 10;
const TURN_MS = size(3000);
const DRAIN_MS = 1500;
const AHEAD = 8 * PIECE; // of the server, in the kernel's buffers
const LOOK_MS = 40; // a look at them costs the machine a millisecond

/** The body of a create, as one Buffer. */
function makeBatch(count, bytes) {
  const params = makeBody(bytes, MODEL);
  const parts = ['{"requests":['];
  for (let i = 0; i < count; i++) {
    parts.push(`${i > 0 ? ',' : ''}{"custom_id":"row-${i}","params":`,
      params.replace('"content":"', `"content":"Row ${i}: `), '}');
  }
  parts.push(']}');
  return Buffer.from(parts.join(''));
}

/** Bytes that the kernel holds of what was sent on a connection of ours:
 * what the server has not read yet. */
function unread(socket) {
  const ends = `:${socket.localPort.toString(16).toUpperCase().padStart(4, '0')} `;
  return readFileSync('/proc/net/tcp', 'latin1').split('\n')
    .filter((line) => line.includes(ends))
    .reduce((sum, line) => {
      const [sending, received] = line.trim().split(/ +/)[4].split(':');
      return sum + parseInt(sending, 16) + parseInt(received, 16);
    }, 0);
}

/** Creates a batch. `turn` waits while the client is not to send. */
async function post(url, body, turn = async () => {}) {
  const began = performance.now();
  const sent = request(`${url}/v1/messages/batches`, { method: 'POST',
    headers: { 'content-type': 'application/json',
      'content-length': body.length } });
  const answered = new Promise((resolve, reject) => {
    sent.on('error', reject);
    sent.on('response', (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (data) => { text += data; });
      answer.on('end', () => (answer.statusCode === 200
        ? resolve({ seconds: (performance.now() - began) / 1000,
          batch: JSON.parse(text) })
        : reject(new Error(`${answer.statusCode}: ${text.slice(0, 500)}`))));
    });
  });
  for (let at = 0; at < body.length; at += PIECE) {
    await turn(sent.socket);
    if (!sent.write(body.subarray(at, at + PIECE)))
      await once(sent, 'drain');
  }
  sent.end();
  return answered;
}

/** Turns of the client that uploads: it sends for a while and holds back for
 * as long, so that what others notice of it and what the disk does on its own
 * are measured within the same seconds. What the server has still to read
 * counts for neither. */
async function takeTurns(probes, upload) {
  let gate = Promise.resolve();
  let over = false;
  const phase = () => probes.forEach((probe) => probe.signal('SIGUSR1'));
  const turns = (async () => {
    while (!over) {
      await sleep(TURN_MS);
      if (over) break;
      let open;
      gate = new Promise((resolve) => { open = resolve; });
      phase();
      await sleep(DRAIN_MS);
      phase();
      await sleep(TURN_MS);
      phase();
      open();
    }
  })();
  let allowed = AHEAD;
  const result = await upload(async (socket) => {
    while (allowed <= 0) {
      allowed = AHEAD - unread(socket);
      if (allowed <= 0) await sleep(LOOK_MS);
    }
    allowed -= PIECE;
    await gate;
  });
  over = true;
  await turns;
  return result;
}

/** Submits and polls every 5 ms, each on a connection of its own, while a
 * batch is created: { submit, poll }, with the p99 beside it and alone. */
async function beside(all, small, body) {
  const submit = await startLoad('probe', '--to', all.submitter.to,
    '--body', small, '--interval-ms', 5);
  const poll = await startLoad('probe', '--to', all.status.to,
    '--path', `/v1/jobs/${all.someJob}`, '--interval-ms', 5);
  await takeTurns([submit, poll],
    (turn) => post(all.submitter.url, body, turn));
  return { submit: await submit.finish(), poll: await poll.finish() };
}

async function upload(all, small, body) {
  await clearRedis(all.db);
  all.someJob = await someJob(all);
  await sleep(300);
  resetPeak(all.submitter.pid);
  const { seconds, batch } = await post(all.submitter.url, body);
  const growth = peakBytes(all.submitter.pid) - all.idleBytes;
  const both = await beside(all, small, body);
  return { seconds, growth, both, count: batch.request_counts.processing };
}

/** A job that stays queued, to be asked for. */
async function someJob(all) {
  const answer = await fetch(`${all.submitter.url}/v1/jobs`, { method: 'POST',
    headers: { 'content-type': 'application/json' }, body: makeBody(200, MODEL) });
  return (await answer.json()).id;
}

function besideRows(results) {
  return ['submit', 'poll'].map((name) => {
    const alone = medianOf(results, (r) => r.both[name].alone_p99_ms);
    const busy = medianOf(results, (r) => r.both[name].p99_ms);
    return { figure: `  p99 of a ${name} beside it`, measured: ms(busy),
      reference: `${ms(alone)} without it`, ratio: `${(busy / alone).toFixed(1)} x`,
      wanted: '<= 2 x', ok: busy <= 2 * alone };
  });
}

function memoryRow(results) {
  const growth = medianOf(results, (r) => r.growth);
  return { figure: '  memory of the submitter above idle',
    measured: megabytes(growth), wanted: '< 64 MB', ok: growth < 64e6 };
}

export async function batch() {
  const count = size(100_000);
  const many = makeBatch(count, 250);
  const large = makeBatch(250, size(1_000_000));
  const small = bodyFile(1024, MODEL);
  const all = await startInstallation({ submitter: true, status: true,
    env: { LONGHAUL_MAX_QUEUED_BYTES: '8GiB' } });
  await measure('load', 'submit', '--to', all.submitter.to, '--requests', 100,
    '--body', small);
  all.idleBytes = residentBytes(all.submitter.pid);
  const items = await repeat(() => upload(all, small, many));
  const bytes = await repeat(() => upload(all, small, large));
  await all.stop();
  if (items.some((r) => r.count !== count) || bytes.some((r) => r.count !== 250))
    throw new Error('a batch is not whole');
  const rate = count / medianOf(items, (r) => r.seconds);
  const speed = large.length / medianOf(bytes, (r) => r.seconds);
  return [
    { figure: `a batch of ${count} small requests`, measured: perSecond(rate) },
    memoryRow(items), ...besideRows(items),
    { figure: `a batch of ${megabytes(large.length)}`,
      measured: `${megabytes(speed)}/s` },
    memoryRow(bytes), ...besideRows(bytes),
  ];
}
