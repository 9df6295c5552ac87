// The sweep: for every named crash point, a process that dies there. Fails on
// a point that nothing passes, on a job that does not end, and on whatever
// the checker finds.

import { spawnSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir as systemTmpdir } from 'node:os';
import { join } from 'node:path';
import { stopAll, tmpdir } from '../scenario/lib/process.mjs';
import { Chance, crashPoints, emptied, here, http, Installation, Log, sleep,
  smallDisk } from './lib.mjs';
import { Injector } from './faults.mjs';
import { Load } from './load.mjs';

const PROCESS = { worker: 'worker1', submitter: 'submitter', status: 'status' };

class Sweep {
  constructor(at, load, injector) { Object.assign(this, { at, load, injector }); }

  ask(method, path, body) {
    return this.load.ask('status', method, path, body ? { body } : {});
  }

  /** Jobs whose way through passes most points. */
  async traffic() {
    const { load } = this;
    load.go(() => load.batch(false));
    await Promise.all([{ model: 'mock-ok' }, { model: 'mock-529-twice' },
      { model: 'mock-slow-200ms' }, { model: 'mock-400' },
      { model: 'mock-ok', length: 1_400_000 }, { model: 'mock-cut-once' },
      { model: 'mock-slow-30s', options: '{"expires_in":1}' }]
      .map((job) => load.one(job)));
  }

  /** What operators and clients ask of the status API. */
  async requests() {
    const { load } = this;
    const dead = await Promise.all([1, 2, 3, 4].map((i) => load.one({
      model: 'mock-400', length: i < 3 ? 100 : 1_400_000 })));
    const gone = await load.one({ model: 'mock-ok' });
    const slow = await load.one({ model: 'mock-slow-1500ms' });
    await this.ended([...dead, gone].filter(Boolean));
    await load.cancel(slow);
    await load.replay(dead[0]);
    await load.replay(dead[2]);
    await this.ask('POST', `/v1/dead-letters/${dead[1]}/discard`);
    load.log.say({ event: 'operation' });
    await this.ask('POST', '/v1/operations', JSON.stringify({ action: 'replay',
      filter: { model: 'mock-400' }, limit: 1 }));
    this.deleted = gone;
    await this.ask('DELETE', `/v1/jobs/${gone}`);
  }

  async ended(ids, ms = 8000) {
    const end = Date.now() + ms;
    for (const id of ids) {
      for (;;) {
        const { json } = await this.ask('GET', `/v1/jobs/${id}`);
        if (/succeeded|failed|canceled|expired/.test(json?.status ?? '')) break;
        if (Date.now() > end) return;
        await sleep(50);
      }
    }
  }

  /** What a point needs beside the traffic. */
  async provoke(point) {
    const { at, load } = this;
    const script = point.split('.')[0];
    if (script === 'recover') {
      for (let i = 0; i < 40; i++) {
        at.proxy.set('worker1-redis', { cut_replies: i % 4 === 0 ? 1 : 0 });
        await load.one({});
        await sleep(100);
      }
      at.proxy.set('worker1-redis', { cut_replies: 0 });
    } else if (script === 'reap') {
      await at.spawn('worker2');
      await at.ready('worker2');
      for (let i = 0; i < 4; i++) await load.one({ model: 'mock-slow-200ms' });
      await at.kill('worker2');
    } else if (script === 'release') { // what a paused pool hands back
      await at.mode({ error_rate: 1, status: 401 });
      for (let i = 0; i < 5; i++) await load.one({});
      await sleep(2000);
      await this.injector.calm();
    } else if (script === 'leave') {
      for (let i = 0; i < 3; i++) await load.one({ model: 'mock-slow-3s' });
      await sleep(200);
      at.signal('worker1', 'SIGTERM');
    } else if (script === 'park') {
      const full = this.injector.inject({ kind: 'busy_store', ms: 8000 });
      for (let i = 0; i < 4; i++) await load.one({ model: 'mock-ok' });
      await full;
    } else if (script === 'hold') {
      // One refusal with a time to wait is enough, however few calls start.
      await at.mode({ error_rate: 1, status: 429, retry_after: 1 });
      for (let i = 0; i < 4; i++) await load.one({ model: 'mock-ok' });
      await sleep(2000);
      await this.injector.calm();
    } else if (script === 'unstage') await this.abandon();
    else if (script === 'batch_drop') await this.abandonUpload();
    else if (script === 'batch_cancel') await load.batch(true);
    else if (/^batch_delete|^batch\.erased/.test(point)) {
      const id = await load.batch(false);
      load.log.say({ event: 'batch_deleted', id });
      if (id) await this.ask('DELETE', `/v1/batches/${id}`);
    }
  }

  /** An upload that ends in the middle, and that nobody will go on with. */
  async abandonUpload() {
    const { port } = this.at.specs.get('submitter');
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    const line = '{"custom_id":"row-N","params":{"model":"mock-ok","max_tokens":9,'
      + '"messages":[{"role":"user","content":"No."}]}}\n';
    socket.write('POST /v1/batches HTTP/1.1\r\nHost: localhost\r\nContent-Type: '
      + 'application/x-ndjson\r\nContent-Length: 3000000\r\n\r\n');
    for (let i = 0; i < 600; i++) socket.write(line.replace('N', String(i)));
    await sleep(1000);
    socket.destroy();
  }

  /** A long request that ends in the middle. */
  async abandon() {
    const { port } = this.at.specs.get('submitter');
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    let text = '';
    while (text.length < 1_600_000) text += Math.random().toString(36);
    socket.write('POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: '
      + 'application/json\r\nContent-Length: 3000000\r\n\r\n'
      + `{"model":"mock-ok","max_tokens":9,"messages":[{"role":"user","content":"${
        text}`);
    await sleep(500);
    socket.destroy();
  }

  /** For "parked.read": answers parked, both workers dead, the store
   * free again. */
  async leaveParked() {
    const full = this.injector.inject({ kind: 'busy_store', ms: 8000 });
    for (let i = 0; i < 4; i++) await this.load.one({ model: 'mock-ok' });
    await sleep(7000);
    await this.at.kill('worker1');
    await full;
  }

  /** True when the process died there. */
  async one({ point, programs }) {
    const { at, load } = this;
    const name = PROCESS[programs[0]];
    if (point === 'parked.read') await this.leaveParked();
    else await at.kill(name);
    // What an earlier point left closed would keep this one from being reached.
    await at.redisCli('DEL', 'lh:{0}:hold');
    const up = await at.spawn(name, { LONGHAUL_CRASH_AT: point,
      ...(/^leave/.test(point) ? { LONGHAUL_GRACE: '1s' } : {}) });
    const program = up ? at.programs.get(name) : null;
    const work = up ? (async () => {
      await this.traffic();
      await this.provoke(point);
      if (name === 'status' || /^(chore|unstage|stage)/.test(point)) {
        await this.requests();
      }
    })() : Promise.resolve();
    const limit = sleep(/^(reap|park|hold|recover|release|batch)/.test(point)
      ? 14_000 : 6000);
    const died = up ? await Promise.race([program.exited
      .then(({ signal }) => signal === 'SIGKILL'), limit.then(() => false)]) : true;
    if (up && !died && at.isUp(name)) await at.kill(name);
    await at.spawn(name);
    await work;
    return died;
  }
}

const wanted = (process.argv[2] ?? '').split(','); // beginnings of names
const dir = tmpdir('longhaul-points-');
const store = smallDisk(dir);
const log = new Log(join(dir, 'events.jsonl'));
const at = new Installation({ dir, log, storeDir: store.path, workers: 2,
  proxyLog: new Log(join(dir, 'proxy.jsonl')) });
const load = new Load(at, new Chance(1), new Log(join(dir, 'client.jsonl')),
  { quiet: true });
const injector = new Injector(at, log);
const missed = [];
let count = 0;
await at.start();
await at.kill('worker2');
load.running = true;
const sweep = new Sweep(at, load, injector);
// An open breaker and a paused pool stop everything else for a while, so that
// comes last.
const isHold = ({ point }) => /^(hold|release)/.test(point);
const points = crashPoints();
for (const entry of [...points.filter((e) => !isHold(e)), ...points.filter(isHold)]) {
  if (!wanted.some((name) => entry.point.startsWith(name))) continue;
  const died = await sweep.one(entry);
  count++;
  console.log(`${died ? 'died' : 'MISSED'} ${entry.point}`);
  if (!died) missed.push(entry.point);
}
await injector.calmDown();
load.running = false;
await load.finished(60_000);
await emptied(at);
log.say({ event: 'settled' });
await load.lookAgain();
for (const name of at.specs.keys()) {
  log.say({ event: 'resources', ...at.resources(name) });
}
const checked = spawnSync(process.execPath, [join(here, 'check.mjs'), dir,
  at.storePath, at.redis.socket, at.url('status')], { encoding: 'utf8' });
process.stdout.write(checked.stdout + checked.stderr);
console.log(`# ${count - missed.length} of ${count} crash points died at, missed: ${
  missed.join(' ') || 'none'}`);
if (checked.status !== 0) {
  const kept = join(systemTmpdir(), 'longhaul-points');
  rmSync(kept, { recursive: true, force: true });
  cpSync(dir, kept, { recursive: true, filter: (path) => !path.endsWith('.sock') });
  for (const [name, program] of at.programs) {
    new Log(join(kept, `${name}.stderr`)).say({ text: program.stderr() });
  }
  console.log(`# its files are kept in ${kept}`);
}
at.agent.destroy();
at.proxy.stop();
if (store.small) spawnSync('umount', ['-l', store.path]);
await stopAll();
process.exit(checked.status === 0 && missed.length === 0 && count > 0 ? 0 : 1);
