// Batches in a chaos run: clients that upload some of the load's requests
// together, on both faces, and follow them. In the client's log:
//   bulk_post   one upload and its answer: run, how many items
//   bulk         the first answer that accepted it
//   bulk_seen   a batch as a GET showed it
// Its items are jobs of the load like all others.

import { sleep } from './lib.mjs';

const NATIVE = { path: '/v1/batches', type: 'application/x-ndjson' };
const CLAUDE = { path: '/v1/messages/batches', type: 'application/json' };

export class Batches {
  constructor(load, { everyMs = 1500 } = {}) {
    Object.assign(this, { load, everyMs, count: 0, ids: [] });
  }

  start() {
    const { load } = this;
    load.go(async () => {
      while (load.running) {
        load.go(() => this.one());
        await sleep(load.chance.int(0, 2 * this.everyMs));
      }
    });
  }

  /** One batch from its upload to its end; its id, or null. */
  async one({ items = this.load.chance.int(1, 12),
    claude = this.load.chance.hit(0.3), cancel = this.load.chance.hit(0.15) } = {}) {
    const { load } = this;
    const run = `run-${++this.count}-${this.load.count}`;
    const requests = [];
    for (let i = 0; i < items; i++) {
      const n = ++load.count;
      const drawn = load.draw();
      // What is drawn to expire would run for half a minute here.
      if (drawn.model === 'mock-slow-30s') drawn.model = 'mock-ok';
      const params = load.makeBody(n, { ...drawn, options: '' });
      requests.push({ n, line: `{"custom_id":"c-${n}","params":${params}}` });
    }
    const lines = requests.map(({ line }) => line);
    const body = claude ? `{"requests":[${lines.join(',')}]}`
      : `${lines.join('\n')}\n`;
    const uuid = await this.post(run, claude ? CLAUDE : NATIVE, body, items);
    if (uuid === null) return null;
    const jobs = await this.items(uuid, items);
    for (const { custom_id: name, job_id: id } of jobs) {
      load.accepted(id, Number(name.slice(2)));
    }
    if (cancel) load.go(() => this.cancel(uuid));
    await this.follow(uuid);
    return uuid;
  }

  /** Until it is accepted, as an SDK would. */
  async post(run, { path, type }, body, items) {
    const { load } = this;
    for (let attempt = 0; attempt < 60; attempt++) {
      const native = type === NATIVE.type;
      const answer = await load.ask('submitter', 'POST',
        native ? `${path}?run=${run}` : path, { body, type,
        headers: { ...(native ? { 'idempotency-key': run }
            : { 'x-stainless-retry-count': String(attempt) }) } });
      const id = answer.json?.id;
      load.note('bulk_post', 'submitter', answer, { run, items, native, id });
      if (answer.status === 200 || answer.status === 202) {
        const uuid = id.replace(/^\w+_/, '');
        load.log.say({ event: 'bulk', uuid, run, items, native,
          accepted: answer.json.accepted });
        this.ids.push(uuid);
        return uuid;
      }
      if (!(answer.status === 0 || answer.status === 409
        || answer.status >= 429)) return null;
      if (!load.running && attempt > 20) return null;
      await sleep(load.chance.int(50, 400));
    }
    return null;
  }

  async items(uuid, count) {
    const { load } = this;
    for (;;) {
      const answer = await load.ask('status', 'GET',
        `/v1/batches/batch_${uuid}/items`);
      const lines = answer.status !== 200 ? [] : answer.bytes.toString('utf8')
        .split('\n').filter(Boolean).map((line) => {
          try { return JSON.parse(line); } catch { return null; }
        }).filter(Boolean);
      if (lines.length === count) return lines;
      if (load.hurry && Date.now() > load.hurry) return lines;
      await sleep(300);
    }
  }

  async look(uuid) {
    const { load } = this;
    const answer = await load.ask('status', 'GET', `/v1/batches/batch_${uuid}`);
    load.note('bulk_seen', 'status', answer, { uuid,
      state: answer.json?.status, counts: answer.json?.counts,
      accepted: answer.json?.accepted });
    return answer.status === 200 ? answer.json : null;
  }

  async follow(uuid) {
    const { load } = this;
    for (;;) {
      const batch = await this.look(uuid);
      if (batch?.status === 'ended') break;
      if (load.hurry && Date.now() > load.hurry) return;
      await sleep(load.chance.int(200, 600));
    }
    // Items are replayed meanwhile; that is not the batch's business any more.
    for (let i = 0; i < 3; i++) {
      await sleep(load.chance.int(200, 1500));
      await this.look(uuid);
    }
  }

  async cancel(uuid) {
    const { load } = this;
    await sleep(load.chance.int(0, 1500));
    const answer = await load.ask('status', 'POST',
      `/v1/batches/batch_${uuid}/cancel`);
    load.note('bulk_cancel', 'status', answer, { uuid });
  }

  /** After the calm: abandoned uploads are an hour old at once, and what is
   * left is looked at for the last time. */
  async settle(at, timeoutMs = 15_000) {
    const P = 'lh:{0}:';
    const end = Date.now() + timeoutMs;
    const old = (await at.redisCli('ZRANGE', `${P}batches:staging`, '0', '-1'))
      .split('\n').filter(Boolean);
    for (const uuid of old) {
      await at.redisCli('ZADD', `${P}batches:staging`, 'XX', '1', uuid);
    }
    while (Date.now() < end && await at.redisCli('--scan', '--pattern',
      `${P}batch*`) !== '') await sleep(200);
    this.load.agent.destroy();
  }

  async lookAgain() {
    for (const uuid of this.ids) await this.look(uuid);
  }
}
