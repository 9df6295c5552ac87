// How soon another worker calls for the jobs of one that ended: by kill -9, at
// the lease times of the build, and by SIGTERM, from the end of the grace.
// Several installations at a time, since nearly all of it is waiting.

import { ownerOf } from '../scenario/lib/faults.mjs';
import { startStack, until } from '../scenario/lib/index.mjs';
import { ms, size } from './lib.mjs';

const INSTALLATIONS = 4;
const JOBS = 12; // of which a worker has about half

const quantile = (sorted, share) =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];

/** When the nth call of each job began, by the simulator's ledger; null while
 * one has not. */
function begun(stack, ids, nth) {
  const times = new Map(ids.map((id) => [id, []]));
  for (const line of stack.claude.ledger()) {
    if (line.event === 'begin') times.get(line.job)?.push(line.t_ms);
  }
  const found = [...times.values()].map((list) => list[nth]);
  return found.includes(undefined) ? null : found;
}

/** Both workers have heard of the limits, so that none holds back. */
async function warm(stack) {
  const ids = await Promise.all(Array.from({ length: 24 }, () =>
    stack.submit('mock-slow-50ms')));
  await stack.waitAll(ids, 30_000);
}

/** One end of a worker: ms from `from` until each of its jobs was called for by
 * another. */
async function once(stack, { signal, env, graceMs }) {
  await warm(stack);
  const ids = await Promise.all(Array.from({ length: JOBS }, () =>
    stack.submit('mock-slow-120s')));
  await until(() => begun(stack, ids, 0), { timeoutMs: 30_000,
    what: 'the first calls' });
  const owners = await Promise.all(ids.map((id) => ownerOf(stack.redis, id)));
  const victim = stack.workers.find(({ pid }) => pid === owners[0]);
  const mine = ids.filter((_, i) => owners[i] === victim.pid);
  const from = Date.now() + graceMs;
  const ended = victim.exited;
  victim.signal(signal);
  const again = await until(() => begun(stack, mine, 1), { timeoutMs: 60_000,
    everyMs: 20, what: 'the second calls' });
  const { code } = await ended;
  if (signal === 'SIGTERM' && code !== 0) throw new Error(`it ended with ${code}`);
  for (const id of ids) await stack.call('POST', `/v1/jobs/${id}/cancel`);
  await stack.waitAll(ids, 30_000);
  stack.workers.splice(stack.workers.indexOf(victim), 1);
  await stack.startWorker(env);
  return again.map((t) => t - from);
}

async function many(times, how) {
  const env = { LONGHAUL_GRACE: `${how.graceMs}ms` };
  const share = Math.ceil(times / INSTALLATIONS);
  const lists = await Promise.all(Array.from({ length: INSTALLATIONS }, async () => {
    const stack = await startStack({ workers: 2, workerEnv: env });
    const found = [];
    for (let i = 0; i < share; i++) found.push(...await once(stack, { ...how, env }));
    for (const program of [...stack.workers, stack.submitter, stack.status,
      stack.claude, stack.redis]) await program.kill();
    return found;
  }));
  return { ends: share * INSTALLATIONS, sorted: lists.flat().sort((a, b) => a - b) };
}

function row(figure, { ends, sorted }, limit) {
  const p99 = quantile(sorted, 0.99);
  return { figure: `${figure}: p99`, measured: ms(p99),
    reference: `${ends} ends, ${sorted.length} jobs, ${ms(sorted[0])} to ${
      ms(sorted.at(-1))}, median ${ms(quantile(sorted, 0.5))}`,
    wanted: `0 to ${limit} ms`, ok: sorted[0] >= 0 && p99 < limit };
}

export async function takeover() {
  const times = size(24);
  return [
    row('jobs of a killed worker called again', await many(times,
      { signal: 'SIGKILL', graceMs: 0 }), 15_000),
    row('handed back on SIGTERM, no grace', await many(times,
      { signal: 'SIGTERM', graceMs: 0 }), 1000),
    row('handed back on SIGTERM, after 3 s of grace', await many(times,
      { signal: 'SIGTERM', graceMs: 3000 }), 1000),
  ];
}
