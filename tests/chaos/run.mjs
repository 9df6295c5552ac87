// A chaos run: load and faults by seed, then calm, then the checker. Prints
// the seed and the commit first, so that a failure can be run again.

import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, readFileSync } from 'node:fs';
import { tmpdir as systemTmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root, stopAll, tmpdir } from '../scenario/lib/process.mjs';
import { Chance, crashPoints, emptied, here, Installation, Log, sleep,
  smallDisk } from './lib.mjs';
import { draw, Injector } from './faults.mjs';
import { Batches } from './batches.mjs';
import { Load } from './load.mjs';

const { values: options } = parseArgs({ options: {
  seed: { type: 'string', default: '1' },
  seconds: { type: 'string', default: '10' }, rate: { type: 'string', default: '40' },
  only: { type: 'string' }, settle: { type: 'string', default: '40' },
  faults: { type: 'string' }, models: { type: 'string' },
  keep: { type: 'boolean', default: false } } });

// After the faults everything must have ended within this time.
const SETTLE_MS = Number(options.settle) * 1000;

function commit() {
  try {
    return execFileSync('git', ['-C', root, 'describe', '--always', '--dirty'],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return 'unknown';
  }
}

async function oneRun(seed) {
  const dir = tmpdir('longhaul-chaos-');
  const store = smallDisk(dir);
  const log = new Log(join(dir, 'events.jsonl'));
  const at = new Installation({ dir, log, storeDir: store.path,
    proxyLog: new Log(join(dir, 'proxy.jsonl')),
    partitions: true });
  const stuck = setTimeout(() => {
    console.error(`seed ${seed}: stuck; the last events:`);
    console.error(readFileSync(log.path, 'utf8').split('\n').slice(-12).join('\n'));
    process.exit(3);
  }, Number(options.seconds) * 1000 + 3 * SETTLE_MS + 60_000);
  const chance = new Chance(seed);
  let checked;
  try {
    await at.start();
    const faults = options.faults ? JSON.parse(options.faults) : draw(chance, {
      seconds: Number(options.seconds), points: crashPoints(),
      only: options.only?.split(','), hasSmallDisk: store.small,
      hasNetwork: at.network !== undefined });
    const load = new Load(at, new Chance(seed + 1000), new Log(join(dir,
      'client.jsonl')), { rate: Number(options.rate),
      models: options.models?.split(',').map((model) => [1, model]) });
    const injector = new Injector(at, log);
    const batches = new Batches(load);
    load.start();
    batches.start();
    load.startBatches();
    await injector.run(faults);
    await injector.calmDown();
    load.stop();
    await load.finished(SETTLE_MS);
    await batches.settle(at);
    await emptied(at);
    log.say({ event: 'settled', limit_ms: SETTLE_MS });
    await load.lookAgain();
    await batches.lookAgain();
    at.agent.destroy();
    await sleep(300);
    for (const name of at.specs.keys()) {
      log.say({ event: 'resources', ...at.resources(name) });
    }
    checked = spawnSync(process.execPath, [join(here, 'check.mjs'), dir,
      at.storePath, at.redis.socket, at.url('status')], { encoding: 'utf8' });
    process.stdout.write(checked.stdout);
    process.stderr.write(checked.stderr);
    const bulk = spawnSync(process.execPath, [join(here, 'check-batches.mjs'), dir,
      at.storePath, at.redis.socket], { encoding: 'utf8' });
    process.stdout.write(bulk.stdout + bulk.stderr);
    if (bulk.status !== 0) checked = bulk;
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
  at.network?.stop();
  if (store.small) spawnSync('umount', ['-l', store.path]);
  await stopAll();
  return !failed;
}

const seed = Number(options.seed);
console.log(`# chaos seed ${seed}, commit ${commit()}, `
  + `${options.seconds} s of faults`);
process.exit(await oneRun(seed) ? 0 : 1);
