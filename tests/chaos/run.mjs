// Chaos runs: load and faults by seed, then calm, then the checker. Prints
// the seed and the commit first, so that a failure can be run again.

import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { tmpdir as systemTmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bin, root, stopAll, tmpdir } from '../scenario/lib/process.mjs';
import { Chance, here, Installation, Log, resources, sleep, until } from './lib.mjs';
import { draw, Injector } from './faults.mjs';
import { Load } from './load.mjs';

const SETTLE_MS = 40_000; // after the faults: everything must have ended

const { values: options } = parseArgs({ options: {
  seed: { type: 'string', default: '1' }, seeds: { type: 'string', default: '1' },
  seconds: { type: 'string', default: '10' }, rate: { type: 'string', default: '40' },
  only: { type: 'string' }, keep: { type: 'boolean', default: false },
  tap: { type: 'boolean', default: false } } });

function commit() {
  try {
    return execFileSync('git', ['-C', root, 'describe', '--always', '--dirty'],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return 'unknown';
  }
}

/** Crash points by program, from a test build. */
function crashPoints() {
  const run = spawnSync(bin('longhaul-worker'), [], { encoding: 'utf8',
    env: { PATH: process.env.PATH, LONGHAUL_CRASH_AT: 'list' } });
  if (run.status !== 0) {
    throw new Error(`${bin('longhaul-worker')} has no crash points; make chaos-build`);
  }
  return run.stdout.trim().split('\n').map((line) => {
    const [point, ...programs] = line.split(' ');
    return { point, programs };
  });
}

/** A small disk for the result store, where that is possible. */
function smallDisk(dir) {
  const path = join(dir, 'store');
  mkdirSync(path);
  if (process.env.LONGHAUL_CHAOS_MOUNT !== '1') return { path, small: false };
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64m',
    'longhaul-chaos', path]);
  return { path, small: status === 0 };
}

async function emptied(at) {
  await until(async () => await at.redisCli('--scan', '--pattern',
    'lh:{0}:job:*') === '', { timeoutMs: 10_000, everyMs: 200,
    what: 'no job in Redis' }).catch(() => {});
}

async function oneRun(seed) {
  const dir = tmpdir('longhaul-chaos-');
  const store = smallDisk(dir);
  const log = new Log(join(dir, 'events.jsonl'));
  const at = new Installation({ dir, log, storeDir: store.path,
    proxyLog: new Log(join(dir, 'proxy.jsonl')) });
  const stuck = setTimeout(() => {
    console.error(`seed ${seed}: stuck; the last events:`);
    console.error(readFileSync(log.path, 'utf8').split('\n').slice(-12).join('\n'));
    process.exit(3);
  }, Number(options.seconds) * 1000 + 3 * SETTLE_MS);
  const chance = new Chance(seed);
  const faults = draw(chance, { seconds: Number(options.seconds),
    points: crashPoints(), only: options.only?.split(','),
    hasSmallDisk: store.small });
  let checked;
  try {
    await at.start();
    const load = new Load(at, new Chance(seed + 1000), new Log(join(dir,
      'client.jsonl')), { rate: Number(options.rate) });
    const injector = new Injector(at, log);
    load.start();
    await injector.run(faults);
    await injector.calmDown();
    load.stop();
    await load.finished(SETTLE_MS);
    await emptied(at);
    log.say({ event: 'settled', limit_ms: SETTLE_MS });
    await load.lookAgain();
    at.agent.destroy();
    await sleep(300);
    for (const name of at.specs.keys()) {
      log.say({ event: 'resources', name, pid: at.pid(name),
        ...resources(at.pid(name)) });
    }
    checked = spawnSync(process.execPath, [join(here, 'check.mjs'), dir,
      at.storePath, at.redis.socket, at.url('status')], { encoding: 'utf8' });
    process.stdout.write(checked.stdout);
    process.stderr.write(checked.stderr);
  } catch (error) {
    console.error(`seed ${seed}: the run itself failed: ${error.stack}`);
  }
  const failed = checked?.status !== 0;
  if (failed || options.keep) {
    const kept = join(systemTmpdir(), `longhaul-chaos-seed-${seed}`);
    cpSync(dir, kept, { recursive: true, force: true, filter: (path) =>
      !path.endsWith('.sock') });
    for (const [name, program] of at.programs) {
      new Log(join(kept, `${name}.stderr`)).say({ text: program.stderr() });
    }
    console.log(`seed ${seed}: its files are kept in ${kept}`);
  }
  clearTimeout(stuck);
  at.proxy?.stop();
  if (store.small) spawnSync('umount', ['-l', store.path]);
  await stopAll();
  return !failed;
}

let failed = 0;
const first = Number(options.seed);
const count = Number(options.seeds);
if (options.tap) console.log(`1..${count}`);
for (let seed = first; seed < first + count; seed++) {
  console.log(`# chaos seed ${seed}, commit ${commit()}, `
    + `${options.seconds} s of faults`);
  const good = await oneRun(seed);
  if (!good) failed++;
  if (options.tap) console.log(`${good ? 'ok' : 'not ok'} - chaos seed ${seed}`);
}
console.log(`# ${count - failed} of ${count} seeds hold`);
process.exit(failed === 0 ? 0 : 1);
