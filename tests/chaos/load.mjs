// The clients of a chaos run. Everything they send and see is written to the
// client's log, which is one of the checker's witnesses:
//   body    a request body: its number, checksum, and that of what Claude is
//           to get
//   submit  one POST and its answer;  accepted  the first 202 of a body
//   seen    a job as a GET showed it;  result  an answer as it was read
//   cancel, replay  what was asked and answered
//   batch   an upload that was taken;  batch_ended  how it was found in the end

import { createHash } from 'node:crypto';
import { http, newAgent, sleep } from './lib.mjs';

const TERMINAL = ['succeeded', 'failed', 'canceled', 'expired'];
const textOf = (message) => (message?.content ?? []).map((block) =>
  block.text ?? '').join('');
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

const MODELS = [[25, 'mock-ok'], [12, 'claude-haiku-5-5'],
  [8, 'claude-sonnet-5-5'], [5, 'claude-opus-4-8'], [20, 'mock-slow-200ms'], [10, 'mock-flaky-10pct'],
  [5, 'mock-529-twice'], [5, 'mock-cut-once'], [8, 'mock-400'],
  [2, 'mock-slow-1500ms']];

/** What some prompts begin with, so that Claude's cache takes part. */
const PREFIX = (kind, ttl) => `"system":[{"type":"text","text":"${`The rules of `
  + `house ${kind}. `.repeat(500)}","cache_control":{"type":"ephemeral"${
    ttl ? `,"ttl":"${ttl}"` : ''}}}],`;

export class Load {
  constructor(installation, chance, log, { rate = 40, quiet = false,
    models = MODELS } = {}) {
    // quiet: nothing is canceled or replayed by chance.
    Object.assign(this, { at: installation, chance, log, rate, quiet, models });
    this.agent = newAgent();
    this.count = 0;
    this.batches = 0;
    this.jobs = new Map(); // id -> what is known of it
    this.tasks = new Set();
    this.running = false;
  }

  /** Runs a task that stop() waits for. */
  go(task) {
    const promise = task().catch((error) => this.log.say({ event: 'client_error',
      error: String(error.stack) })).finally(() => this.tasks.delete(promise));
    this.tasks.add(promise);
  }

  start() {
    this.running = true;
    this.go(async () => {
      while (this.running) {
        this.go(() => this.submitOne());
        await sleep(this.chance.int(0, 2000 / this.rate));
      }
    });
  }
  /** Batches one after another, each uploaded until it is taken. */
  startBatches() {
    this.go(async () => {
      while (this.running) {
        this.go(() => this.batch());
        await sleep(this.chance.int(500, 2500));
      }
    });
  }
  /** No new work; what waits for its end goes on waiting. */
  stop() { this.running = false; }
  async finished(timeoutMs) {
    this.hurry = Date.now() + timeoutMs;
    while (this.tasks.size > 0) await Promise.race([...this.tasks, sleep(1000)]);
    this.agent.destroy();
  }

  ask(name, method, path, options) {
    return http(this.agent, this.at.url(name), method, path, options);
  }
  note(event, server, answer, more) {
    this.log.say({ event, server, status: answer.status, began: answer.began,
      ms: answer.ms, error: answer.error,
      retry_after: answer.headers?.['retry-after'], ...more });
  }

  draw() {
    const { chance } = this;
    const model = chance.weighted(this.models);
    const expires = chance.hit(0.02);
    const length = chance.hit(0.01) ? 1_400_000 : chance.hit(0.1) ? 30_000
      : chance.int(20, 400);
    const prefix = chance.hit(0.2)
      ? PREFIX(chance.int(1, 4), chance.pick([null, '5m', '1h'])) : '';
    return { model: expires ? 'mock-slow-30s' : model, length, prefix,
      stream: chance.hit(0.2), options: expires ? '{"expires_in":2}'
        : chance.hit(0.1) ? '{"expires_in":1800}' : '' };
  }

  makeBody(n, { model, length, options: given, prefix = '', stream = false }) {
    const { chance } = this;
    // Not compressible, so that long ones travel in parts.
    let text = `Question ${n}. `;
    while (text.length < length) text += `${chance.int(0, 4294967295).toString(36)} `;
    // From 8192 tokens on, the answer is streamed.
    const head = `"model":"${model}","max_tokens":${stream ? 9000 : 48},${prefix}`;
    const options = given ? `"longhaul":${given},` : '';
    const tail = `"messages":[{"role":"user","content":"${text}"}]}`;
    const body = `{${head}${options}${tail}`;
    const sent = `{${stream ? '"stream":true,' : ''}${head}${tail}`;
    this.log.say({ event: 'body', n, model, options, bytes: Buffer.byteLength(body),
      sha: sha256(body), upstream_sha: sha256(sent) });
    return body;
  }

  async submitOne() {
    const n = ++this.count;
    const body = this.makeBody(n, this.draw());
    const key = this.chance.hit(0.5) ? `key-${n}` : null;
    const posts = [this.post(n, body, key)];
    if (key && this.chance.hit(0.3)) posts.push(this.post(n, body, key));
    const id = (await Promise.all(posts)).find((found) => found !== null);
    if (!id) return;
    if (key && this.chance.hit(0.2)) {
      await sleep(this.chance.int(0, 3000));
      await this.post(n, body, key);
    }
  }

  /** One job of a kind, for scripted runs; its id, or null. */
  one({ model = 'mock-ok', length = 100, options = '', key = true }) {
    const n = ++this.count;
    return this.post(n, this.makeBody(n, { model, length, options }),
      key ? `key-${n}` : null);
  }

  /** What a batch is made of: [n, line]; each item is a body of its own. */
  makeItems(size) {
    return Array.from({ length: size }, (_, i) => {
      const n = ++this.count;
      const model = this.chance.weighted([[50, 'mock-ok'],
        [20, 'claude-haiku-5-5'], [20, 'mock-slow-200ms'], [10, 'mock-400']]);
      const params = `{"model":"${model}","max_tokens":48,"messages":[`
        + `{"role":"user","content":"Row ${n}."}]}`;
      this.log.say({ event: 'body', n, model, options: '',
        bytes: params.length, sha: sha256(params), upstream_sha: sha256(params) });
      return [n, `{"custom_id":"row-${i}","params":${params}}`];
    });
  }

  /** One batch from its upload to its end; its id, or null. */
  async batch(cancel = this.chance.hit(0.1)) {
    const key = `batch-${++this.batches}`;
    const items = this.makeItems(this.chance.int(2, 12));
    const body = [...items.map(([, line]) => line), '{"message":'].join('\n');
    let answer;
    do {
      answer = await http(this.agent, this.at.url('submitter'), 'POST',
        '/v1/batches', { body, headers: { 'idempotency-key': key },
          type: 'application/x-ndjson' });
      this.note('upload', 'submitter', answer, { key, id: answer.json?.id });
      if (answer.status !== 202) await sleep(this.chance.int(100, 500));
    } while (answer.status !== 202 && !(this.hurry && Date.now() > this.hurry));
    if (answer.status !== 202) return null;
    const { id } = answer.json;
    this.log.say({ event: 'batch', id, key, size: items.length,
      accepted: answer.json.accepted, rejected: answer.json.rejected });
    if (cancel) {
      this.note('cancel', 'status', await this.ask('status', 'POST',
        `/v1/batches/${id}/cancel`), { id });
    }
    await this.followBatch(id, items);
    return id;
  }

  async followBatch(id, items) {
    for (;;) {
      const { status, json } = await this.ask('status', 'GET',
        `/v1/batches/${id}?wait=2`);
      if (status === 200 && json.status === 'ended') {
        const list = await this.ask('status', 'GET', `/v1/batches/${id}/items`);
        if (list.status === 200) return this.lookAt(id, items, json, list.bytes);
      }
      if (this.hurry && Date.now() > this.hurry) return undefined;
      await sleep(200);
    }
  }

  async lookAt(id, items, { counts }, bytes) {
    const list = bytes.toString('utf8').split('\n').filter(Boolean)
      .map((line) => JSON.parse(line));
    this.log.say({ event: 'batch_ended', id, counts,
      items: list.map(({ custom_id: name, job_id: job }) => [name, job]) });
    for (const { custom_id: name, job_id: job } of list) {
      const n = items[Number(name.slice(4))][0];
      this.jobs.set(job, { n, replays: 0 });
      this.log.say({ event: 'accepted', id: job, n });
      const end = await this.awaitEnd(job, 0);
      if (end) await this.readResult(job, end);
    }
  }

  /** Sends it until there is a 202; without a key only once. */
  async post(n, body, key) {
    for (let attempt = 0; attempt < 200; attempt++) {
      const answer = await this.ask('submitter', 'POST', '/v1/jobs', { body,
        headers: key ? { 'idempotency-key': key } : {} });
      this.note('submit', 'submitter', answer, { n, key, id: answer.json?.id });
      if (answer.status === 202) {
        this.accepted(answer.json.id, n);
        return answer.json.id;
      }
      if (!key || !(answer.status === 0 || answer.status >= 429)) return null;
      if (!this.running && attempt > 20) return null;
      await sleep(this.chance.int(50, 400));
    }
    return null;
  }

  accepted(id, n) {
    if (this.jobs.has(id)) return;
    this.jobs.set(id, { n, replays: 0 });
    this.log.say({ event: 'accepted', id, n });
    this.go(() => this.follow(id));
    if (!this.quiet && this.chance.hit(0.05)) this.go(() => this.cancel(id));
  }

  async cancel(id) {
    await sleep(this.chance.int(0, 1000));
    const answer = await this.ask('status', 'POST', `/v1/jobs/${id}/cancel`);
    this.note('cancel', 'status', answer, { id });
  }

  /** Looks until it has ended; null when the time is over. */
  async awaitEnd(id, generation) {
    for (;;) {
      const wait = this.chance.hit(0.5) ? '?wait=2' : '';
      const answer = await this.ask('status', 'GET', `/v1/jobs/${id}${wait}`);
      const job = answer.json;
      this.note('seen', 'status', answer, { id, wait: wait !== '',
        state: job?.status, generation: job?.generation, version: job?.version,
        finished: job?.finished_at, attempts: job?.attempts });
      if (answer.status === 200 && TERMINAL.includes(job.status)
        && job.generation >= generation) return job;
      if (this.hurry && Date.now() > this.hurry) return null;
      await sleep(this.chance.int(100, 500));
    }
  }

  async readResult(id, job) {
    for (let i = 0; i < 20; i++) {
      const answer = await this.ask('status', 'GET', `/v1/jobs/${id}/result`);
      this.note('result', 'status', answer, { id, generation: job.generation,
        state: job.status,
        sha: answer.status === 200 ? sha256(answer.bytes) : undefined,
        text: answer.status === 200 ? sha256(textOf(answer.json)) : undefined,
        usage: answer.json?.usage });
      if (answer.status !== 0 && answer.status < 500) return;
      await sleep(300);
    }
  }

  async follow(id) {
    let generation = 0;
    for (;;) {
      const job = await this.awaitEnd(id, generation);
      if (job === null) return;
      await this.readResult(id, job);
      if (this.chance.hit(0.2)) {
        await sleep(this.chance.int(200, 4000));
        await this.awaitEnd(id, generation);
      }
      if (job.status !== 'failed' || !this.running || this.quiet
        || !this.chance.hit(generation === 0 ? 0.6 : 0.3)) return;
      if (!await this.replay(id, job.generation)) return;
      generation = job.generation + 1;
    }
  }

  /** A double click. True when at least one of them was accepted. */
  async replay(id, generation = 0) {
    for (let i = 0; i < 10; i++) {
      const click = async () => {
        const answer = await this.ask('status', 'POST',
          `/v1/dead-letters/${id}/replay?generation=${generation}`);
        this.note('replay', 'status', answer, { id, of: generation,
          generation: answer.json?.generation });
        return answer;
      };
      const answers = await Promise.all([click(), click()]);
      if (answers.some((answer) => answer.status === 202)) return true;
      if (answers.some((answer) => answer.status === 404)) {
        // It was accepted, and the answer got lost; or it never was a letter.
        const { json } = await this.ask('status', 'GET', `/v1/jobs/${id}`);
        return json?.status !== 'failed';
      }
      await sleep(300);
    }
    return false;
  }

  /** Every job once more, at the very end. */
  async lookAgain() {
    this.agent = newAgent();
    this.hurry = Date.now() + 20_000;
    const ids = [...this.jobs.keys()];
    for (let i = 0; i < ids.length; i += 20) {
      await Promise.all(ids.slice(i, i + 20).map(async (id) => {
        const job = await this.awaitEnd(id, 0);
        if (job) await this.readResult(id, job);
      }));
    }
    this.agent.destroy();
  }
}
