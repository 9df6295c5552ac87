// Starting the real programs, waiting for what they print, and ending them
// by pid. Everything started here is ended by stopAll(), also when the test
// process exits or is interrupted: no program outlives its test.

import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir as systemTmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');

const running = new Set();
const spoken = []; // what every program said, for assertNoCanary()

/** Planted in prompts (and so in answers) and keys; never to be seen in what
 * a program logs. */
export const CANARY = 'canary-7f3a';

/** Fails when a canary is in the log of a program that was started. The
 * command line prints answers on stdout, which is its work. */
function assertNoCanary() {
  const loud = spoken.filter(({ name, out, err }) => err.text.includes(CANARY)
    || (name !== 'longhaul' && out.text.includes(CANARY)));
  const broken = spoken.filter(({ err }) =>
    /ERROR: AddressSanitizer|runtime error:|Assertion .* failed/
      .test(err.text));
  spoken.length = 0;
  if (broken.length > 0) {
    throw new Error(broken.map(({ name, err }) =>
      `${name}: ${err.text.slice(-3000)}`).join('\n'));
  }
  if (loud.length > 0) {
    throw new Error(`a prompt, an answer or a key is in the log of ${
      loud.map(({ name }) => name).join(', ')}`);
  }
}
const directories = new Set();

/** The path of one of our programs. BUILD names another build folder. */
export function bin(name) {
  return resolve(root, process.env.BUILD || 'build', 'bin', name);
}

/** A fresh directory, removed by stopAll(). */
export function tmpdir(prefix = 'longhaul-') {
  const dir = mkdtempSync(join(systemTmpdir(), prefix));
  directories.add(dir);
  return dir;
}

const bindable = (port) => new Promise((resolve) => {
  const server = createServer();
  server.once('error', () => resolve(false));
  server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
});

/** A TCP port on loopback that is free, for programs that cannot say which
 * they got. It lies below those that the kernel gives to whoever asks for any:
 * ours share a port with a stranger who took it meanwhile. Prefer port 0. */
export async function freePort() {
  for (;;) {
    const port = randomInt(12_000, 32_000);
    if (await bindable(port)) return port;
  }
}

export const sleep = (ms) => new Promise((r) => setTimeout(r, ms));

/** Calls `check` until it returns something truthy, and returns that. */
export async function until(check, { timeoutMs = 10_000, everyMs = 25,
  what = 'the condition' } = {}) {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > end) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await sleep(everyMs);
  }
}

class Output {
  constructor(stream, echo) {
    this.text = '';
    this.ended = false;
    this.waiters = new Set();
    stream?.setEncoding('utf8');
    stream?.on('data', (data) => {
      this.text += data;
      if (echo) process.stderr.write(data);
      this.wake();
    });
    stream?.on('close', () => { this.ended = true; this.wake(); });
  }
  wake() {
    for (const waiter of [...this.waiters]) waiter();
  }
}

/** What went into a file: read when somebody asks. */
class FileOutput extends Output {
  constructor(path) {
    super(null, false);
    Object.defineProperty(this, 'text',
      { get: () => readFileSync(path, 'utf8') });
    this.ended = true;
  }
}

/**
 * Starts a program. Options: args, env (added to a minimal environment that
 * carries no credential), cwd, waitFor (a RegExp on stdout or stderr),
 * timeoutMs for that wait, errFile (where stderr goes instead of through this
 * process). LONGHAUL_TEST_VERBOSE=1 shows what it prints.
 *
 * Returns { pid, child, name, stdout(), stderr(), match, exited,
 * waitForLine(re), signal(name), stop(), kill() }; `exited` resolves to
 * { code, signal }; `match` is the RegExp match of waitFor.
 */
export async function startProcess(command, { args = [], env = {}, cwd,
  waitFor, timeoutMs = 15_000, errFile,
  name = command.split('/').pop() } = {}) {
  const verbose = process.env.LONGHAUL_TEST_VERBOSE === '1';
  const errTo = errFile ? openSync(errFile, 'a') : 'pipe';
  const child = spawn(command, args, {
    cwd,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, LANG: 'C.UTF-8',
      ...sanitizerOptions(), ...env },
    stdio: ['ignore', 'pipe', errTo],
  });
  if (errFile) closeSync(errTo);
  const out = new Output(child.stdout, verbose);
  const err = errFile ? new FileOutput(errFile)
    : new Output(child.stderr, verbose);
  spoken.push({ name, out, err });
  const exited = new Promise((resolve) => {
    child.once('error', (error) => resolve({ code: null, signal: null, error }));
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  const program = {
    name, child, pid: child.pid, exited, match: null,
    stdout: () => out.text,
    stderr: () => err.text,
    signal: (sig) => { process.kill(child.pid, sig); },
    waitForLine: (re, ms = timeoutMs) => waitForLine(program, out, err, re, ms),
    stop: (graceMs = 10_000) => stopProgram(program, graceMs),
    kill: async () => { end(program, 'SIGKILL'); return exited; },
  };
  running.add(program);
  exited.then(() => running.delete(program));
  if (waitFor) program.match = await program.waitForLine(waitFor);
  return program;
}

function sanitizerOptions() {
  const kept = {};
  for (const key of ['ASAN_OPTIONS', 'UBSAN_OPTIONS', 'LSAN_OPTIONS']) {
    if (process.env[key]) kept[key] = process.env[key];
  }
  return kept;
}

function waitForLine(program, out, err, re, timeoutMs) {
  return new Promise((resolve, reject) => {
    const finish = (settle, value) => {
      clearTimeout(timer);
      out.waiters.delete(look);
      err.waiters.delete(look);
      settle(value);
    };
    const fail = (why) => finish(reject, new Error(
      `${program.name}: ${why} while waiting for ${re}\n` +
      `stdout: ${out.text.slice(-2000)}\nstderr: ${err.text.slice(-2000)}`));
    const look = () => {
      const match = re.exec(out.text) ?? re.exec(err.text);
      if (match) finish(resolve, match);
      else if (out.ended && err.ended) fail('ended');
    };
    const timer = setTimeout(() => fail(`${timeoutMs} ms passed`), timeoutMs);
    out.waiters.add(look);
    err.waiters.add(look);
    look();
  });
}

function end(program, signal) {
  const { child } = program;
  if (child.pid && child.exitCode === null && child.signalCode === null) {
    child.kill(signal);
  }
}

/** SIGTERM, and SIGKILL when that does not help in time. */
async function stopProgram(program, graceMs) {
  end(program, 'SIGTERM');
  const timer = setTimeout(() => end(program, 'SIGKILL'), graceMs);
  const result = await program.exited;
  clearTimeout(timer);
  return result;
}

/** Ends everything startProcess() started, newest first, and removes every
 * tmpdir(). For `after(stopAll)`. */
export async function stopAll() {
  for (const program of [...running].reverse()) await program.stop();
  try {
    assertNoCanary();
  } finally {
    for (const dir of directories) {
      rmSync(dir, { recursive: true, force: true });
    }
    directories.clear();
  }
}

process.on('exit', () => {
  for (const program of running) end(program, 'SIGKILL');
  for (const dir of directories) rmSync(dir, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => process.exit(128));
}
