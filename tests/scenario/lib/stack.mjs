// The whole installation as separate programs: Redis, the simulator, the
// submitter, the status API and workers, each on a free port.

import { join } from 'node:path';
import { bin, CANARY, startProcess, tmpdir, until } from './process.mjs';
import { startFakeClaude } from './fake-claude.mjs';
import { startRedis } from './redis.mjs';

const ready = (program) => until(
  async () => (await fetch(`${program.url}/readyz`)).status === 200,
  { what: `readiness of ${program.name}` });

/**
 * Options: workers (how many, 1), fake (arguments of the simulator), env (of
 * every program), workerEnv, redis (options of startRedis), enter (words
 * before every program but Redis and the simulator).
 *
 * Returns { redis, claude, submitter, status, workers, dir, env,
 * start(name, env), startWorker(env), post(body, headers), submit(model, more), job(id),
 * result(id), wait(id, ms), waitAll(ids, ms), call(method, path, body) }.
 */
export async function startStack({ workers = 1, fake = [], env = {},
  workerEnv = {}, redis: redisOptions = {}, enter = [] } = {}) {
  const dir = tmpdir();
  const redis = await startRedis(redisOptions);
  const claude = await startFakeClaude({ args: fake });
  const all = { LONGHAUL_REDIS_URL: redis.url,
    LONGHAUL_STORE_URL: `sqlite:${join(dir, 'results.db')}`,
    LONGHAUL_SUBMITTER_LISTEN: '127.0.0.1:0',
    LONGHAUL_STATUS_LISTEN: '127.0.0.1:0',
    LONGHAUL_WORKER_LISTEN: '127.0.0.1:0', ...env };
  const start = async (name, more = {}) => {
    const [command, ...words] = [...enter, bin(name)];
    const program = await startProcess(command, { name,
      args: [...words, '--die-with-parent'], env: { ...all, ...more }, cwd: dir,
      waitFor: /^ready (http:\S+)$/m });
    return Object.assign(program, { url: program.match[1] });
  };
  const stack = { redis, claude, dir, enter, env: all, workers: [], start };
  stack.startWorker = async (more = {}) => {
    const worker = await start('longhaul-worker', {
      ANTHROPIC_BASE_URL: claude.url, LONGHAUL_JOB_HEADER: 'x-longhaul-job',
      ...('ANTHROPIC_API_KEY_FILE' in { ...workerEnv, ...more } ? {}
        : { ANTHROPIC_API_KEY: `sk-ant-${CANARY}-key` }),
      ...workerEnv, ...more });
    stack.workers.push(worker);
    await ready(worker);
    // The first worker makes the installation's marker; the others see it.
    if (stack.submitter) await ready(stack.submitter);
    if (stack.status) await ready(stack.status);
    return worker;
  };
  for (let i = 0; i < workers; i++) await stack.startWorker();
  stack.submitter = await start('longhaul-submitter');
  stack.status = await start('longhaul-status');
  if (workers > 0) {
    await ready(stack.submitter);
    await ready(stack.status);
  }
  return Object.assign(stack, clientOf(stack));
}

function clientOf(stack) {
  const request = async (base, method, path, body, headers = {}) => {
    const answer = await fetch(`${base}${path}`, { method,
      headers: body === undefined ? headers
        : { 'content-type': 'application/json', ...headers },
      body: body === undefined || typeof body === 'string'
        || Buffer.isBuffer(body) ? body : JSON.stringify(body) });
    const text = await answer.text();
    let json = null;
    try { json = JSON.parse(text); } catch { /* not JSON */ }
    return { status: answer.status, headers: answer.headers, text, json };
  };
  const client = {
    post: (body, headers) => request(
      stack.submitter.url, 'POST', '/v1/jobs', body, headers),
    call: (method, path, body, headers) => request(
      stack.status.url, method, path, body, headers),
    job: async (id) => (await client.call('GET', `/v1/jobs/${id}`)).json,
    result: (id) => client.call('GET', `/v1/jobs/${id}/result`),
  };
  /** A job of that model is accepted; its id. */
  client.submit = async (model, { text = `${CANARY}: a question for ${model}. What is it?`,
    max_tokens = 64, longhaul, ...more } = {}) => {
    const answer = await client.post({ model, max_tokens,
      messages: [{ role: 'user', content: text }],
      ...(longhaul ? { longhaul } : {}), ...more });
    if (answer.status !== 202) throw new Error(answer.text);
    return answer.json.id;
  };
  /** The job once it has ended. */
  client.wait = (id, timeoutMs = 15_000) => until(async () => {
    const { json } = await client.call('GET', `/v1/jobs/${id}?wait=1`);
    return ['succeeded', 'failed', 'canceled', 'expired']
      .includes(json?.status) ? json : null;
  }, { timeoutMs, what: `the end of ${id}` });
  client.waitAll = (ids, timeoutMs) =>
    Promise.all(ids.map((id) => client.wait(id, timeoutMs)));
  return client;
}
