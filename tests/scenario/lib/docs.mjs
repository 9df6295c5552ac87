// The examples of the documentation: ```console blocks, in which a line with
// "$ " is a command (over several lines, with "\" or a here-document) and what
// follows is what it printed. They are run in order, in one shell for each document,
// against a `longhaul up` of its own.

import { spawn } from 'node:child_process';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { bin, root, sleep, startProcess, tmpdir, until } from './process.mjs';

const MARK = '\x1e';
const SHOWN_HOST = '127.0.0.1:8080';
const SHOWN_ROOT = '/home/ana/longhaul';

/** A line that ends with "\\" or "|", a here-document or a loop goes on. */
function isWhole(command) {
  if (/^for .*; do$/m.test(command)) return /^ *done/m.test(command);
  const end = /<<'(\w+)'/.exec(command)?.[1];
  return !/[\\|]$/.test(command)
    && (end === undefined || command.endsWith(`\n${end}`));
}

/** The examples of a text: [{ command, output, from, to }]; from and to are
 * the lines of the output. */
export function examplesOf(text) {
  const lines = text.split('\n');
  const examples = [];
  let inside = false;
  let current = null;
  lines.forEach((line, i) => {
    if (!inside) {
      inside = line === '```console';
      return;
    }
    if (line === '```') {
      inside = false;
      current = null;
    } else if (current && !isWhole(current.command)) {
      current.command += `\n${line}`;
      current.from = current.to = i + 1;
    } else if (line.startsWith('$ ')) {
      current = { command: line.slice(2), output: [], from: i + 1, to: i + 1 };
      examples.push(current);
    } else if (current) {
      current.output.push(line);
      current.to = i + 1;
    }
  });
  return examples;
}

/** What differs from run to run, made equal. */
export function normalise(lines) {
  return lines.join('\n')
    .replace(/(job|req|msg|op|batch|msgbatch)_[0-9a-f-]{20,}/g, '$1_ID')
    .replace(/\blh_[\w-]+/g, 'lh_KEY')
    .replace(/^([\w-]+) [0-9a-f]{8} /gm, '$1 HASH ')
    .replace(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, 'UUID')
    .replace(/\b[0-9a-f]{16}\b/g, 'FINGERPRINT')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replace(/\b(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\dZ?/g, 'CLOCK')
    .replace(/^Date: .*$/gm, 'Date: DATE')
    .replace(/^Content-Length: \d+$/gm, 'Content-Length: N')
    .replace(/\b1[0-9]{12}-\d+/g, 'ENTRY')
    .replace(/"v\d+"/g, '"vN"')
    .replace(/("version": ?)\d+/g, '$1N')
    .replace(/(output_tokens": ?)\d+/g, '$1N')
    .replace(/\(after [^)]*\)/g, '(after N s)')
    .replace(/In short: [^"]*?("|$)/gm, 'In short: ANSWER$1')
    .replace(/^([a-z_]+({[^}]*})?) [0-9.e+-]+$/gm, '$1 N')
    .replace(/\S+\/bin\/longhaul/g, 'bin/longhaul')
    .replace(/^(ok|warn|fail) .*$/gm, (line) => line.replace(/\d+/g, 'N'))
    .replace(/ {2,}/g, '  ')
    .split('\n').map((line) => line.trimEnd());
}

/** Runs `longhaul up` with its words on one pipe; what it said so far. */
async function startUp() {
  const dir = tmpdir('longhaul-docs-');
  const up = await startProcess('bash', { name: 'longhaul-up', cwd: dir,
    args: ['-c', `exec ${bin('longhaul')} up --port 0 2>&1`],
    waitFor: /^ready (\S+)$/m, timeoutMs: 30_000 });
  await until(() => /^first job .*\n +\S/m.test(up.stdout()),
    { what: 'the first job' });
  const url = up.match[1];
  await until(async () => (await fetch(`${url}/v1/lanes`)).ok,
    { what: 'the first numbers' });
  const said = up.stdout().trimEnd().split('\n')
    .filter((line) => !line.startsWith('{'));
  return { up, dir, url, said };
}

/** The examples of `path` (from the root) as they are and as they should be:
 * [{ command, shown, printed }]. */
export async function runExamples(path) {
  const text = readFileSync(join(root, path), 'utf8');
  const examples = examplesOf(text);
  if (examples.length === 0) return [];
  const { up, dir, url, said } = await startUp();
  const host = new URL(url).host;
  const there = (s) => s.replaceAll(SHOWN_HOST, host);
  const back = (s) => s.replaceAll(host, SHOWN_HOST)
    .replaceAll(dirname(bin('longhaul')), `${SHOWN_ROOT}/build/bin`)
    .replaceAll(dir, SHOWN_ROOT);
  const script = examples.map(({ command }, i) => {
    const run = command === 'make run' ? ':' : there(command);
    return `printf '${MARK}${i}\\n'\n${run}\n`;
  }).join('');
  writeFileSync(join(dir, '.curlrc'), 'silent\nshow-error\nmax-time = 60\n');
  symlinkSync(join(root, 'examples'), join(dir, 'examples'));
  const out = await shell(script, dir, { LONGHAUL_URL: url, CURL_HOME: dir,
    PATH: `${dirname(bin('longhaul'))}:${process.env.PATH}`,
    HOME: dir, TMPDIR: dir, TZ: 'UTC' });
  await up.stop();
  const parts = out.split(MARK).slice(1);
  return examples.map((example, i) => {
    const printed = example.command === 'make run' ? said
      : parts[i].slice(parts[i].indexOf('\n') + 1).replaceAll('\r', '')
        .replace(/\n+$/, '').split('\n');
    return { ...example, shown: example.output,
      printed: (printed.length === 1 && printed[0] === '' ? [] : printed)
        .map(back) };
  });
}

async function shell(script, cwd, env) {
  const child = spawn('bash', ['-c', `exec 2>&1\n${script}`], { cwd,
    env: { LANG: 'C.UTF-8', ...env }, stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (data) => { out += data; });
  const ended = new Promise((resolve) => { child.on('close', resolve); });
  const timer = setTimeout(() => child.kill('SIGKILL'), 120_000);
  await ended;
  clearTimeout(timer);
  await sleep(0);
  return out;
}

const same = ({ shown, printed }) => normalise(shown).join('\n').trimEnd()
  === normalise(printed).join('\n').trimEnd();

/** Puts what was printed into the document, when its shape is another. */
export function writeExamples(path, examples) {
  if (examples.every(same)) return;
  const file = join(root, path);
  const lines = readFileSync(file, 'utf8').split('\n');
  for (const { from, to, printed } of [...examples].reverse()) {
    lines.splice(from, to - from, ...printed);
  }
  writeFileSync(file, lines.join('\n'));
}
