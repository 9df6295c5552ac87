// torture.mjs PROGRAM LIMIT: each write, send, fsync and connect of one
// program in a short scenario fails in turn (LIMIT of each kind at most, evenly
// spread): those it makes while it starts, and those while it serves. After all
// of them the checker of the chaos runs.

import { spawnSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import { tmpdir as systemTmpdir } from 'node:os';
import { join } from 'node:path';
import { stopAll, tmpdir } from '../scenario/lib/process.mjs';
import { Chance, emptied, here as chaos, Installation, Log, sleep, smallDisk }
  from '../chaos/lib.mjs';
import { Load } from '../chaos/load.mjs';
import { Injector } from '../chaos/faults.mjs';
import { chosen, Fault, KINDS } from './fault.mjs';

const ROUND_MS = 25_000; // after which a job is stuck

class Torture {
  constructor(who, limit) {
    Object.assign(this, { who, limit, ends: 0, stuck: 0 });
    this.dir = tmpdir('longhaul-torture-');
    this.store = smallDisk(this.dir);
    this.fault = new Fault(this.dir);
    this.log = new Log(join(this.dir, 'events.jsonl'));
    this.at = new Installation({ dir: this.dir, log: this.log, workers: 1,
      storeDir: this.store.path,
      proxyLog: new Log(join(this.dir, 'proxy.jsonl')) });
    this.load = new Load(this.at, new Chance(1), new Log(join(this.dir,
      'client.jsonl')), { quiet: true });
    this.injector = new Injector(this.at, this.log);
  }

  async start() {
    // Under the library from the first start on, with nothing to fail.
    if (this.who === 'redis') this.at.redisEnv = this.fault.env;
    await this.at.start();
    if (this.who !== 'redis') {
      Object.assign(this.at.specs.get(this.who).env, this.fault.env);
      await this.again();
    }
    this.load.running = true;
    await this.scenario();
  }

  /** Ended and started; what it does not survive is started once more. */
  async again() {
    this.restarting = true;
    if (this.at.isUp(this.who)) await this.at.kill(this.who);
    await this.bringUp();
    this.restarting = false;
  }
  async bringUp() {
    for (let i = 0; i < 5 && !this.at.isUp(this.who); i++) {
      try { await this.at.restart(this.who); } catch { /* it will */ }
      if (!this.at.isUp(this.who)) this.ends++;
    }
  }
  /** What keeps programs up elsewhere. */
  async watch() {
    while (!this.over) {
      if (!this.restarting && !this.at.isUp(this.who)) {
        this.ends++;
        await this.bringUp();
      }
      await sleep(20);
    }
  }

  /** A job of each kind; done when all have ended. */
  async scenario() {
    const { load } = this;
    load.hurry = Date.now() + ROUND_MS;
    const before = new Set(load.jobs.keys());
    const one = async (kind, then) => {
      const id = await load.one(kind);
      if (id && then) await then(id);
    };
    await Promise.all([
      one({ model: 'claude-haiku-5-5' }), one({ model: 'mock-529-twice' }),
      one({ model: 'claude-sonnet-5-5', stream: true }),
      one({ model: 'mock-ok', length: 1_100_000 }),
      one({ model: 'mock-slow-200ms' }, (id) => load.cancel(id)),
      one({ model: 'mock-400' }, async (id) => {
        const job = await load.awaitEnd(id, 0);
        if (job?.status === 'failed' && await load.replay(id, job.generation)) {
          await load.awaitEnd(id, job.generation + 1);
        }
      })]);
    while (load.tasks.size > 0) {
      await Promise.race([...load.tasks, sleep(200)]);
    }
    const late = Date.now() > load.hurry;
    if (late) this.stuck++;
    return [...load.jobs.keys()].filter((id) => !before.has(id));
  }

  /** One call fails; false when there were fewer. */
  async point(kind, nth, starting) {
    const began = Date.now();
    this.fault.arm(kind, nth);
    if (starting) await this.again();
    const only = starting ? this.fault.told : null;
    if (starting && !only.failed) return false;
    await this.scenario();
    const { failed } = this.fault.told;
    this.log.say({ event: 'fault_over', kind: `call_${kind[0]}`, who: this.who,
      began, ms: 0, nth, starting, failed });
    return failed;
  }

  /** Points of a kind, out of as many calls as one undisturbed pass makes. */
  async sweep(kind, starting) {
    this.fault.arm(kind, 0);
    if (starting) await this.again();
    else await this.scenario();
    const of = this.fault.told.calls;
    let points = 0;
    for (const nth of chosen(of, this.limit)) {
      points += await this.point(kind, nth, starting) ? 1 : 0;
    }
    return { points, of };
  }

  async kind(kind) {
    const ends = this.ends;
    const stuck = this.stuck;
    const starting = await this.sweep(kind, true);
    const serving = await this.sweep(kind, false);
    this.fault.arm(kind, 0);
    return { kind: kind[0], starting, serving, ended: this.ends - ends,
      stuck: this.stuck - stuck };
  }

  async check() {
    const { at, load } = this;
    await this.injector.calmDown();
    load.running = false;
    await load.finished(40_000);
    await emptied(at);
    this.log.say({ event: 'settled' });
    await load.lookAgain();
    at.agent.destroy();
    await sleep(300);
    for (const name of at.specs.keys()) {
      this.log.say({ event: 'resources', ...at.resources(name) });
    }
    return spawnSync(process.execPath, [join(chaos, 'check.mjs'), this.dir,
      at.storePath, at.redis.socket, at.url('status')], { encoding: 'utf8' });
  }

  keep() {
    const kept = join(systemTmpdir(), `longhaul-torture-${this.who}`);
    rmSync(kept, { recursive: true, force: true });
    cpSync(this.dir, kept, { recursive: true, filter: (path) =>
      !path.endsWith('.sock') });
    for (const [name, program] of this.at.programs) {
      new Log(join(kept, `${name}.stderr`)).say({ text: program.stderr() });
    }
    console.log(`# its files are kept in ${kept}`);
  }
}

const [who, limit] = [process.argv[2], Number(process.argv[3])];
const torture = new Torture(who, limit);
await torture.start();
const watching = torture.watch();
const rows = [];
for (const kind of KINDS) rows.push(await torture.kind(kind));
torture.over = true;
await watching;
const checked = await torture.check();
const lost = /^BROKEN 1: accepted jobs without a terminal row: (\d+)/m
  .exec(checked.stdout)?.[1] ?? 0;
const extra = /(\d+) extra of/.exec(checked.stdout)?.[1];
const cell = ({ points, of }, width) => (points < of ? `${points}/${of}`
  : `${points}`).padStart(width);
for (const row of rows) {
  console.log(`${who.padEnd(13)} ${row.kind.padEnd(8)} ${cell(row.starting, 7)} ${
    cell(row.serving, 8)} ${String(row.ended).padStart(6)} ${String(row.stuck)
    .padStart(6)}`);
}
console.log(`# ${who}: lost ${lost}, extra calls ${extra}`);
process.stdout.write(checked.stdout + checked.stderr);
const good = checked.status === 0 && rows.every((row) => row.stuck === 0)
  && rows.some((row) => row.serving.points > 0);
if (!good) torture.keep();
torture.at.proxy.stop();
torture.fault.close();
if (torture.store.small) spawnSync('umount', ['-l', torture.store.path]);
await stopAll();
process.exit(good ? 0 : 1);
