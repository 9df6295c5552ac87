// What is done to a running installation. The schedule follows from the seed
// alone; every fault is written to the events' log with its beginning and
// end, so that the checker can charge calls to it.

import { execFileSync, spawn } from 'node:child_process';
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sleep } from './lib.mjs';

/** [weight, kind, draw(chance) -> arguments]. Times are in milliseconds. */
const KINDS = [
  [6, 'kill', (c) => ({ who: c.pick(['worker1', 'worker2', 'submitter', 'status']),
    after: c.int(50, 800) })],
  [4, 'freeze', (c) => ({ who: c.pick(['worker1', 'worker2', 'submitter', 'status']),
    ms: c.int(200, 1500) })],
  [3, 'freeze', (c) => ({ who: c.pick(['worker1', 'worker2']),
    ms: c.int(4500, 6500) })],
  [6, 'crash_point', (c, points) => ({ ...c.pick(points), nth: c.int(1, 12) })],
  [2, 'stop_point', (c) => ({ who: c.pick(['worker1', 'worker2']),
    point: c.pick(['flight.claimed', 'claim.effect', 'call.answered',
      'commit.before', 'commit.answered', 'retry.before', 'finish.before']),
    nth: c.int(1, 30), ms: c.int(4500, 6500) })],
  [3, 'kill', (c) => ({ who: 'redis', after: c.int(100, 900) })],
  [3, 'freeze', (c) => ({ who: 'redis', ms: c.int(300, 4000) })],
  [2, 'freeze_kill', (c) => ({ who: 'redis', ms: c.int(200, 800),
    after: c.int(100, 500) })],
  [4, 'cut', (c) => ({ link: `${c.pick(['worker1', 'worker2', 'submitter',
    'status'])}-redis` })],
  [5, 'cut_replies', (c) => ({ link: `${c.pick(['worker1', 'worker2',
    'submitter', 'status'])}-redis`, count: c.int(1, 3) })],
  [2, 'hold', (c) => ({ link: `${c.pick(['worker1', 'worker2', 'submitter',
    'status'])}-redis`, way: c.pick(['up', 'down', 'both']),
  ms: c.int(300, 3000), cut: c.hit(0.5) })],
  [2, 'hold', (c) => ({ link: `${c.pick(['worker1', 'worker2'])}-redis`,
    way: 'both', ms: c.int(4500, 6500), cut: c.hit(0.5) })],
  [2, 'delay', (c) => ({ link: `${c.pick(['worker1', 'worker2', 'submitter',
    'status'])}-redis`, ms: c.int(500, 2000), by: c.int(5, 80) })],
  [4, 'cut', (c) => ({ link: `${c.pick(['worker1', 'worker2'])}-claude` })],
  [4, 'cut_replies', (c) => ({ link: `${c.pick(['worker1', 'worker2'])}-claude`,
    count: c.int(1, 4) })],
  [2, 'hold', (c) => ({ link: `${c.pick(['worker1', 'worker2'])}-claude`,
    way: c.pick(['up', 'down', 'both']), ms: c.int(300, 2500), cut: c.hit(0.5) })],
  [2, 'refuse', (c) => ({ link: `${c.pick(['worker1', 'worker2'])}-claude`,
    ms: c.int(200, 1200) })],
  [3, 'storm', (c) => ({ ms: c.int(300, 1500), mode: c.pick([
    { error_rate: 0.5, status: 529 }, { error_rate: 0.4, status: 500 },
    { outage: true, status: 529 }, { error_rate: 0.5, status: 429 },
    { latency_ms: 700 }]) })],
  [2, 'kill', (c) => ({ who: 'claude', after: c.int(100, 600) })],
  [2, 'rolling', (c) => ({ who: c.pick(['worker1', 'worker2', 'submitter',
    'status']) })],
  [2, 'descriptors', (c) => ({ who: c.pick(['worker1', 'submitter', 'status']),
    ms: c.int(500, 2000), spare: c.int(0, 2) })],
  [2, 'full_disk', (c) => ({ ms: c.int(500, 2500) })],
  [2, 'busy_store', (c) => ({ ms: c.int(300, 6000) })],
  [1, 'script_flush', () => ({})],
  [4, 'clock', (c) => ({ who: c.pick(['worker1', 'worker2', 'submitter', 'status',
    'redis']), by: c.pick([-3_600_000, 3_600_000]), ms: c.int(300, 3000) })],
  [2, 'partition', (c) => ({ who: 'worker2', ms: c.int(300, 2500) })],
  [1, 'partition', (c) => ({ who: 'worker2', ms: c.int(4500, 6500) })],
];

const PROGRAM_OF = { worker: ['worker1', 'worker2'], submitter: ['submitter'],
  status: ['status'] };

/** The schedule of a seed: [{ at, kind, ...arguments }]. */
export function draw(chance, { seconds, points, only, hasSmallDisk,
  hasNetwork }) {
  const named = points.flatMap(({ point, programs }) => programs.map((program) =>
    ({ point, who: PROGRAM_OF[program][chance.int(0, PROGRAM_OF[program].length
      - 1)] })));
  const kinds = KINDS.filter(([, kind]) => (only ? only.includes(kind)
    : (kind !== 'full_disk' || hasSmallDisk)
      && (kind !== 'partition' || hasNetwork)));
  const faults = [];
  let at = 800;
  while (at < seconds * 1000) {
    const [, kind, args] = chance.weighted(kinds.map((entry) => [entry[0], entry]));
    faults.push({ at, kind, ...args(chance, named) });
    at += chance.int(100, 900);
  }
  return faults;
}

export class Injector {
  constructor(installation, log) {
    Object.assign(this, { at: installation, log, busy: new Set(), count: {} });
  }

  async run(faults) {
    const began = Date.now();
    const under = [];
    for (const fault of faults) {
      await sleep(Math.max(0, began + fault.at - Date.now()));
      under.push(this.inject(fault));
    }
    await Promise.all(under);
  }

  /** One fault at a time for each program; the others may run beside it. */
  async inject(fault) {
    const target = fault.who ?? fault.link?.split('-')[0] ?? fault.kind;
    if (this.busy.has(target)) return;
    this.busy.add(target);
    const began = Date.now();
    try {
      this.log.say({ event: 'fault', ...fault });
      await this[fault.kind](fault);
      this.count[fault.kind] = (this.count[fault.kind] ?? 0) + 1;
    } catch (error) {
      this.log.say({ event: 'fault_failed', kind: fault.kind,
        why: String(error.message).slice(0, 400) });
    }
    this.log.say({ event: 'fault_over', began, ...fault });
    this.busy.delete(target);
  }

  async kill({ who, after }) {
    if (!this.at.isUp(who)) return this.at.restart(who);
    await this.at.kill(who);
    await sleep(after);
    return this.at.restart(who);
  }
  async freeze({ who, ms }) {
    this.at.signal(who, 'SIGSTOP');
    await sleep(ms);
    this.at.signal(who, 'SIGCONT');
  }
  async freeze_kill({ who, ms, after }) {
    this.at.signal(who, 'SIGSTOP');
    await sleep(ms);
    await this.kill({ who, after });
  }
  /** Restarted so that it dies at a named point; if it never gets there in
   * four seconds, so be it. */
  async crash_point({ who, point, nth }) {
    await this.at.kill(who);
    if (await this.at.spawn(who, { LONGHAUL_CRASH_AT: `${point}:${nth}` })) {
      const program = this.at.programs.get(who);
      const end = await Promise.race([program.exited, sleep(4000)]);
      if (!end) await this.at.kill(who);
      else this.log.say({ event: 'died_at', name: who, point });
    }
    await this.at.restart(who);
  }
  /** Frozen at a named point, for longer than its lease. */
  async stop_point({ who, point, nth, ms }) {
    await this.at.kill(who);
    if (!await this.at.spawn(who, { LONGHAUL_CRASH_AT: `${point}:${nth}:stop` })) {
      await this.at.restart(who);
      return;
    }
    const program = this.at.programs.get(who);
    const stopped = await program.waitForLine(/^crash_point \S+ (\d+) (\S*)$/m, 4000)
      .catch(() => null);
    if (!stopped) { // or it would freeze when nobody expects it
      await this.at.kill(who);
      await this.at.restart(who);
      return;
    }
    await sleep(ms);
    // By its own clock: we may have read that line late.
    this.log.say({ event: 'stopped_at', name: who, point,
      began: Number(stopped[1]), job: stopped[2] });
    this.at.signal(who, 'SIGCONT');
  }
  async cut({ link }) { this.at.proxy.cut(link); }
  async cut_replies({ link, count }) {
    this.at.proxy.set(link, { cut_replies: count });
    await sleep(1500);
    this.at.proxy.set(link, { cut_replies: 0 });
  }
  async hold({ link, way, ms, cut }) {
    this.at.proxy.set(link, { hold: way });
    await sleep(ms);
    if (cut) this.at.proxy.cut(link);
    this.at.proxy.set(link, { hold: null });
  }
  async delay({ link, ms, by }) {
    this.at.proxy.set(link, { delay_ms: by });
    await sleep(ms);
    this.at.proxy.set(link, { delay_ms: 0 });
  }
  async refuse({ link, ms }) {
    this.at.proxy.set(link, { refuse: true });
    this.at.proxy.cut(link);
    await sleep(ms);
    this.at.proxy.set(link, { refuse: false });
  }
  async storm({ ms, mode }) {
    await this.at.mode(mode);
    await sleep(ms);
    await this.calm();
  }
  calm() {
    return this.at.mode({ outage: false, error_rate: 0, latency_ms: 0,
      retry_after: 0 });
  }
  async rolling({ who }) {
    const program = this.at.programs.get(who);
    this.log.say({ event: 'term', name: who, pid: program.pid });
    const { code, signal } = await program.stop(15_000);
    this.log.say({ event: 'termed', name: who, code, signal });
    await this.at.spawn(who);
  }
  async descriptors({ who, ms, spare }) {
    const pid = this.at.pid(who);
    const open = execFileSync('ls', [`/proc/${pid}/fd`], { encoding: 'utf8' })
      .trim().split('\n').length;
    execFileSync('prlimit', ['--pid', pid, `--nofile=${open + spare}:`]);
    await sleep(ms);
    if (this.at.pid(who) === pid) {
      execFileSync('prlimit', ['--pid', pid, '--nofile=4096:']);
    }
  }
  async full_disk({ ms }) {
    const path = join(this.at.storeDir, 'ballast');
    const { bavail, bsize } = statfsSync(this.at.storeDir);
    try {
      writeFileSync(path, Buffer.alloc(Number(bavail) * Number(bsize)));
      writeFileSync(`${path}2`, Buffer.alloc(1 << 20));
    } catch { /* it is full */ }
    await sleep(ms);
    rmSync(path, { force: true });
    rmSync(`${path}2`, { force: true });
  }
  /** Somebody else holds the store's lock. */
  async busy_store({ ms }) {
    await new Promise((resolve) => {
      spawn('flock', [`${this.at.storePath}.lock`, 'sleep', ms / 1000])
        .on('close', resolve);
    });
  }
  /** A wall clock an hour ahead or behind. What Redis has put off until some
   * time of its clock would be late by what the clock is put back, so it goes
   * back for a while only, and stays where it is put forward. */
  async clock({ who, by, ms }) {
    const clock = this.at.clock(who);
    const was = clock.get('clock_ms');
    clock.set('clock_ms', was + by);
    await sleep(ms);
    if (who !== 'redis' || by < 0) clock.set('clock_ms', was);
  }
  /** No packet passes, in either direction, and nobody is told. */
  async partition({ ms }) {
    this.at.network.down();
    await sleep(ms);
    this.at.network.up();
  }
  async script_flush() { await this.at.redisCli('SCRIPT', 'FLUSH'); }

  /** The end of all faults: everything runs, nothing is in the way. */
  async calmDown() {
    for (const name of this.at.proxy.names) {
      this.at.proxy.set(name, { hold: null, delay_ms: 0, cut_replies: 0,
        refuse: false });
    }
    for (const name of ['redis', 'claude', ...this.at.specs.keys()]) {
      this.at.signal(name, 'SIGCONT');
      if (!this.at.isUp(name)) await this.at.restart(name);
    }
    await this.calm();
    this.log.say({ event: 'calm' });
  }
}
