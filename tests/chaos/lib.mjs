// What the chaos runs share: seeded chance, logs of JSON lines, an HTTP
// client that writes down what it saw, and the installation under test.

import { appendFileSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { Agent, request as httpRequest } from 'node:http';
import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bin, freePort, sleep, startProcess, until }
  from '../scenario/lib/process.mjs';
import { startRedis } from '../scenario/lib/redis.mjs';
import { shim } from '../scenario/lib/faults.mjs';
import { startNetwork } from './netns.mjs';

export { freePort, sleep, until };
export const here = dirname(fileURLToPath(import.meta.url));

/** Mulberry32: a small seeded generator. */
export class Chance {
  constructor(seed) { this.state = seed >>> 0; }
  unit() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }
  int(low, high) { return low + Math.floor(this.unit() * (high - low + 1)); }
  hit(probability) { return this.unit() < probability; }
  pick(list) { return list[this.int(0, list.length - 1)]; }
  weighted(pairs) {
    let left = this.unit() * pairs.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, value] of pairs) {
      left -= weight;
      if (left < 0) return value;
    }
    return pairs[pairs.length - 1][1];
  }
}

/** An append-only file of JSON lines with the time of each. */
export class Log {
  constructor(path) { this.fd = openSync(path, 'a'); this.path = path; }
  say(line) {
    writeSync(this.fd, `${JSON.stringify({ t: Date.now(), ...line })}\n`);
  }
}

/** One HTTP request. Never throws: { status: 0, error } when none came. */
export function http(agent, url, method, path, { body, headers = {},
  timeoutMs = 12_000, type = 'application/json' } = {}) {
  const began = Date.now();
  return new Promise((resolve) => {
    const done = (answer) => resolve({ began, ms: Date.now() - began, ...answer });
    const target = new URL(path, url);
    const req = httpRequest(target, { method, agent, headers: { ...headers,
      ...(body === undefined ? {} : { 'content-type': type,
        'content-length': Buffer.byteLength(body) }) } }, (res) => {
      const parts = [];
      res.on('data', (part) => parts.push(part));
      res.on('error', (error) => done({ status: 0, error: error.code }));
      res.on('aborted', () => done({ status: 0, error: 'aborted' }));
      res.on('end', () => {
        const bytes = Buffer.concat(parts);
        let json = null;
        try { json = JSON.parse(bytes.toString('utf8')); } catch { /* none */ }
        done({ status: res.statusCode, headers: res.headers, bytes, json });
      });
    });
    const timer = setTimeout(() => req.destroy(new Error('time-out')), timeoutMs);
    req.on('error', (error) => done({ status: 0,
      error: error.code ?? error.message }));
    req.on('close', () => clearTimeout(timer));
    req.end(body);
  });
}

export const newAgent = () => new Agent({ keepAlive: true, maxSockets: 200 });

/** Descriptors and resident kilobytes of a process, or null; `upstream`:
 * how many of the descriptors are connections to `port`. */
export function resources(pid, port) {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const open = readdirSync(`/proc/${pid}/fd`);
    const hex = Number(port).toString(16).toUpperCase().padStart(4, '0');
    const inodes = new Set(port ? readFileSync(`/proc/${pid}/net/tcp`, 'utf8')
      .split('\n').map((line) => line.trim().split(/\s+/))
      .filter((words) => words[2]?.endsWith(`:${hex}`)).map((words) => words[9])
      : []);
    const upstream = open.filter((fd) => {
      try {
        const [, inode] = /^socket:\[(\d+)\]$/.exec(readlinkSync(
          `/proc/${pid}/fd/${fd}`)) ?? [];
        return inodes.has(inode);
      } catch { return false; }
    }).length;
    return { fds: open.length, upstream,
      rss_kb: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) };
  } catch {
    return null;
  }
}

/** The proxy as a child; its events go to `on` and to the log. */
export async function startProxy(log) {
  const child = spawn(process.execPath, [join(here, 'proxy.mjs')],
    { stdio: ['pipe', 'pipe', 'inherit'] });
  const ports = new Map();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = JSON.parse(line);
    if (event.event === 'linked') ports.set(event.link, event.port);
    else appendFileSync(log.fd, `${line}\n`);
  });
  const send = (command) => child.stdin.write(`${JSON.stringify(command)}\n`);
  return {
    names: [],
    async link(name, listen, to) {
      send({ op: 'link', name, listen, to });
      this.names.push(name);
      return until(() => ports.get(name) !== undefined && { port: ports.get(name) },
        { what: `link ${name}` });
    },
    set: (name, values) => send({ op: 'set', name, ...values }),
    cut: (name) => send({ op: 'cut', name }),
    stop: () => child.stdin.end(),
  };
}

/**
 * Redis, the simulator, submitter, status API and workers, each behind links
 * of the proxy and each restartable under its old address. Options: dir, log
 * (of events), proxyLog, workers, env, storeDir.
 */
export class Installation {
  constructor(options) {
    Object.assign(this, { workers: 2, env: {}, storeDir: options.dir,
      programs: new Map(), specs: new Map(), clocks: new Map(), partitions: false,
      agent: newAgent() }, options);
    this.ledgerPath = join(this.dir, 'ledger.jsonl');
    this.storePath = join(this.storeDir, 'results.db');
  }

  /** The wall clock of a program, which can be put forward or back. */
  clock(name) {
    const [first] = this.clocks.values();
    if (!this.clocks.has(name)) this.clocks.set(name, shim(first?.library));
    return this.clocks.get(name);
  }

  async start() {
    this.proxy = await startProxy(this.proxyLog);
    // The last worker has a network of its own, where that can be had.
    if (this.partitions) this.network = await startNetwork();
    if (this.network?.why) {
      console.log(`# no partitions by network namespace: ${this.network.why}`);
      this.network = undefined;
    }
    await this.startRedis();
    this.claudePort = await freePort();
    await this.startClaude();
    this.specs.set('submitter', { program: 'longhaul-submitter',
      port: await freePort(), listen: 'LONGHAUL_SUBMITTER_LISTEN' });
    this.specs.set('status', { program: 'longhaul-status',
      port: await freePort(), listen: 'LONGHAUL_STATUS_LISTEN' });
    for (let i = 1; i <= this.workers; i++) {
      this.specs.set(`worker${i}`, { program: 'longhaul-worker',
        port: await freePort(), listen: 'LONGHAUL_WORKER_LISTEN', worker: true });
    }
    for (const [name, spec] of this.specs) await this.prepare(name, spec);
    for (const name of this.workerNames()) await this.spawn(name);
    await this.ready(this.workerNames()[0]);
    await this.spawn('submitter');
    await this.spawn('status');
    for (const name of this.specs.keys()) await this.ready(name);
  }

  workerNames() {
    return [...this.specs.keys()].filter((name) => this.specs.get(name).worker);
  }
  url(name) { return `http://127.0.0.1:${this.specs.get(name).port}`; }
  resources(name) {
    const { env } = this.specs.get(name);
    return { name, pid: this.pid(name), ...resources(this.pid(name),
      new URL(env.ANTHROPIC_BASE_URL ?? 'http://none').port) };
  }
  pid(name) { return this.programs.get(name)?.pid; }
  isUp(name) {
    const child = this.programs.get(name)?.child;
    return Boolean(child) && child.exitCode === null && child.signalCode === null;
  }

  async prepare(name, spec) {
    const far = name === `worker${this.workers}` ? this.network : undefined;
    const host = far?.host ?? '127.0.0.1';
    const socket = join(this.dir, `${name}.sock`);
    const link = await this.proxy.link(`${name}-redis`, far ? `${host}:0`
      : `unix:${socket}`, `unix:${this.redis.socket}`);
    spec.enter = far?.enter ?? [];
    spec.env = { ...this.clock(name).env,
      LONGHAUL_REDIS_URL: far ? `redis://${host}:${link.port}` : `unix://${socket}`,
      LONGHAUL_STORE_URL: `sqlite:${this.storePath}`,
      LONGHAUL_GRACE: '5s', LONGHAUL_MAX_ATTEMPTS: '50',
      [spec.listen]: `127.0.0.1:${spec.port}`, ...this.env };
    if (!spec.worker) return;
    const { port } = await this.proxy.link(`${name}-claude`, `${host}:0`,
      `127.0.0.1:${this.claudePort}`);
    Object.assign(spec.env, { ANTHROPIC_BASE_URL: `http://${host}:${port}`,
      LONGHAUL_JOB_HEADER: 'x-longhaul-job',
      LONGHAUL_RETRY_BASE: '20ms', LONGHAUL_RETRY_CAP: '300ms',
      LONGHAUL_WORKER_CONCURRENCY: '32' });
  }

  async startRedis() {
    const dir = join(this.dir, 'redis');
    execFileSync('mkdir', ['-p', dir]);
    this.redis = await startRedis({ dir,
      env: { ...this.clock('redis').env, ...this.redisEnv },
      args: ['--aof-load-truncated', 'yes'] });
    this.programs.set('redis', this.redis);
  }
  async startClaude() {
    const claude = await startProcess(bin('fake-claude'), {
      args: ['--listen', `127.0.0.1:${this.claudePort}`, '--control', '--unmarked', '--ledger',
        this.ledgerPath, '--die-with-parent'],
      waitFor: /listening (http:\/\/\S+)\n/ });
    this.programs.set('claude', claude);
  }
  async mode(changes) {
    await http(this.agent, `http://127.0.0.1:${this.claudePort}`, 'POST',
      '/_fake/mode', { body: JSON.stringify(changes) });
  }

  /** Starts or restarts a program of ours; false: it died while starting.
   * Each life of a worker has a key of its own, by which the proxy tells whose
   * request it carries. */
  async spawn(name, env = {}) {
    const spec = this.specs.get(name);
    this.lives = (this.lives ?? 0) + 1;
    const life = `${name}.${this.lives}`;
    const [command, ...words] = [...spec.enter, bin(spec.program)];
    const program = await startProcess(command, { name,
      args: [...words, '--die-with-parent'], cwd: this.dir, env: { ...spec.env,
        ...(spec.worker ? { ANTHROPIC_API_KEY: `sk-ant-chaos-${life}` } : {}),
        ...env } });
    this.log.say({ event: 'spawned', name, life, pid: program.pid });
    program.exited.then(({ code, signal }) => this.log.say({ event: 'exited',
      name, life, pid: program.pid, code, signal }));
    try {
      program.match = await program.waitForLine(/^ready (http:\S+)$/m, 20_000);
    } catch (error) {
      this.log.say({ event: 'died_starting', name, life,
        why: String(error.message).slice(0, 300) });
      await program.kill();
      return false;
    }
    this.programs.set(name, program);
    this.log.say({ event: 'started', name, life, pid: program.pid,
      ...resources(program.pid) });
    return true;
  }
  ready(name, timeoutMs = 20_000) {
    // Nobody out here can ask it; that it printed its line must do.
    if (this.specs.get(name).enter.length > 0) return undefined;
    return until(async () => (await http(this.agent, this.url(name), 'GET',
      '/readyz')).status === 200, { what: `readiness of ${name}`, timeoutMs });
  }
  /** kill -9, and the end awaited. */
  async kill(name) {
    const program = this.programs.get(name);
    this.log.say({ event: 'kill', name, pid: program.pid });
    program.child.kill('SIGKILL');
    await program.exited;
  }
  signal(name, signal) {
    const program = this.programs.get(name);
    if (program.child.exitCode === null && program.child.signalCode === null) {
      program.child.kill(signal);
    }
  }
  async restart(name) {
    if (name === 'redis') await this.startRedis();
    else if (name === 'claude') await this.startClaude();
    else await this.spawn(name);
  }
  /** One command through redis-cli on the real socket; '' when Redis does not
   * answer in two seconds. */
  redisCli(...words) {
    return new Promise((resolve) => {
      execFile('redis-cli', ['-s', this.redis.socket, ...words],
        { timeout: 2000, killSignal: 'SIGKILL', maxBuffer: 64 << 20 },
        (error, stdout) => resolve(error ? '' : stdout));
    });
  }
}

/** Crash points by program, from a test build. */
export function crashPoints() {
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
export function smallDisk(dir) {
  const path = join(dir, 'store');
  mkdirSync(path);
  if (process.env.LONGHAUL_CHAOS_MOUNT !== '1') return { path, small: false };
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64m',
    'longhaul-chaos', path]);
  return { path, small: status === 0 };
}

export async function emptied(at) {
  await until(async () => await at.redisCli('--scan', '--pattern',
    'lh:{0}:job:*') === '', { timeoutMs: 10_000, everyMs: 200,
    what: 'no job in Redis' }).catch(() => {});
  // A batch that has ended lives in the store; a worker sees to that.
  await until(async () => await at.redisCli('--scan', '--pattern',
    'lh:{0}:batch:*') === '', { timeoutMs: 20_000, everyMs: 200,
    what: 'no batch in Redis' }).catch(() => {});
  // Workers that died are forgotten when their lease is over.
  await until(async () => Number(await at.redisCli('HLEN', 'lh:{0}:beat'))
    <= at.workerNames().length, { timeoutMs: 10_000, everyMs: 200,
    what: 'no dead worker in Redis' }).catch(() => {});
}
