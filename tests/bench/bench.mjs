// `make bench`: runs the figures and prints the table. A figure that is short
// of its limit is said to be short; it does not fail the run. What fails the
// run is a program that does not work.

import { cpus, loadavg } from 'node:os';
import { execFileSync } from 'node:child_process';
import { stopAll } from '../scenario/lib/index.mjs';
import { batch } from './batch.mjs';
import * as others from './figures.mjs';
import { runs, scale } from './lib.mjs';
import { limits } from './limits.mjs';
import { takeover } from './takeover.mjs';

const figures = { ...others, batch, limits, takeover };

const columns = ['figure', 'measured', 'reference', 'ratio', 'wanted', ''];

function version(command, args, pattern) {
  const text = execFileSync(command, args, { encoding: 'utf8' });
  return pattern.exec(text)?.[1] ?? '?';
}

function printMachine() {
  const load = loadavg()[0].toFixed(1);
  console.log(`${cpus().length} x ${cpus()[0].model}, load before: ${load}, ` +
    `redis ${version('redis-server', ['--version'], /v=(\S+)/)}, ` +
    `libcurl ${version('curl-config', ['--version'], /(\S+)\n/)}, ` +
    `node ${process.version}; median of ${runs}` +
    `${scale === 1 ? '' : `, sizes times ${scale}`}\n`);
}

function printTable(rows) {
  const lines = [columns, ...rows.map((row) => [row.figure, row.measured,
    row.reference ?? '', row.ratio ?? '', row.wanted ?? '',
    row.ok === undefined ? '' : row.ok ? 'ok' : 'short'])];
  const widths = columns.map((_, i) =>
    Math.max(...lines.map((line) => line[i].length)));
  for (const line of lines) {
    console.log(line.map((cell, i) => cell.padEnd(widths[i])).join('  ')
      .trimEnd());
  }
}

const all = ['submits', 'pipeline', 'inflight', 'large', 'idle', 'longpoll',
  'million', 'batch', 'results'];
// Only when asked for: they last half an hour and three minutes.
const long = ['limits', 'takeover'];
const wanted = process.env.BENCH?.split(',') ?? all;
const unknown = wanted.filter((name) => ![...all, ...long].includes(name));
if (unknown.length > 0) {
  console.error(`no figure ${unknown}; there are: ${[...all, ...long]}`);
  process.exit(2);
}
printMachine();
const rows = [];
for (const name of wanted) {
  const began = Date.now();
  try {
    rows.push(...await figures[name]());
  } catch (error) {
    rows.push({ figure: `${name}: failed`, measured: 'see above' });
    console.error(error);
    process.exitCode = 1;
  }
  await stopAll();
  const took = ((Date.now() - began) / 1000).toFixed(0);
  console.error(`${name}: done in ${took} s`);
}
printTable(rows);
