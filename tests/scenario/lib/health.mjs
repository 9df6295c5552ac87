// A thread of its own that asks /livez and /readyz all the time, so that what
// it measures is not its test's business. Told to stop it tells the times
// and the first answer that was wrong.

import { get } from 'node:http';
import { parentPort, workerData } from 'node:worker_threads';

const EVERY_MS = 40;
const times = [];
let wrong = null;
let watching = true;

function ask(url) {
  const began = performance.now();
  return new Promise((resolve) => {
    const done = (status) => resolve({ status, ms: performance.now() - began });
    const req = get(url, { agent: false, timeout: 3000 }, (res) => {
      res.resume();
      res.on('end', () => done(res.statusCode));
      res.on('error', () => done(0));
    });
    req.on('timeout', () => req.destroy(new Error('time-out')));
    req.on('error', () => done(0));
  });
}

async function watch(url, expect) {
  while (watching) {
    const { status, ms } = await ask(url);
    if (!watching) return;
    times.push(ms);
    if (!expect.includes(status)) wrong ??= `${url}: ${status}`;
    await new Promise((r) => setTimeout(r, EVERY_MS));
  }
}

const all = workerData.flatMap((url) =>
  [watch(`${url}/livez`, [200]), watch(`${url}/readyz`, [200, 503])]);
parentPort.once('message', async () => {
  watching = false;
  await Promise.all(all);
  parentPort.postMessage({ times: times.sort((a, b) => a - b), wrong });
});
