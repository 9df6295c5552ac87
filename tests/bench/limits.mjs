// How much of Claude's rate limits is used, and how often Claude has to
// refuse: longhaul with two workers beside the official SDK, against a
// simulator with strict token buckets, whose ledger is the witness.
//
// LIMITS=name,name runs some of the cases, LIMITS_AT_ONCE (3) how many run at
// the same time: nearly all of it is waiting.

import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { startFakeClaude, startStack, until } from '../scenario/lib/index.mjs';
import { scale } from './lib.mjs';

const MODEL = 'claude-haiku-5-5';
const WARM_MS = 60_000 * scale;
const SPAN_MS = 125_000 * scale;
const SDK_CONCURRENCY = 50;

/* --- load ------------------------------------------------------------------ */

const SENTENCE = 'The quick printer jams whenever the invoice has more than ' +
  'forty lines and nobody knows why; refunds of March wait since Friday. ';
const SENTENCE_TOKENS = 44;

/** The same numbers in every run. */
function chance(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const textOf = (tokens, i) => `Letter ${i}. ` +
  SENTENCE.repeat(Math.max(1, Math.round(tokens / SENTENCE_TOKENS)));

/** Evenly spread over orders of magnitude. */
const between = (random, least, most) =>
  Math.exp(Math.log(least) + random() * Math.log(most / least));

function request(text, { max_tokens = 64, system } = {}) {
  return { model: MODEL, max_tokens, ...(system ? { system } : {}),
    messages: [{ role: 'user', content: text }] };
}

const manual = [{ type: 'text', text: textOf(8000, 'to all'),
  cache_control: { type: 'ephemeral' } }];

/** What the i-th request of each load looks like. */
const loads = {
  requests: (random, i) => request(textOf(60, i)),
  input: (random, i) => request(textOf(between(random, 100, 100_000), i)),
  cached: (random, i) => request(textOf(between(random, 100, 20_000), i),
    { system: manual }),
  output: (random, i) => request(textOf(between(random, 100, 1000), i),
    { max_tokens: Math.round(between(random, 30, 1000)) }),
};

/* --- cases ------------------------------------------------------------------ */

const rpm = { load: 'requests', kind: 'rpm', per_min: 1200, foreign: {} };
const itpm = { load: 'input', kind: 'itpm', per_min: 9_000_000,
  foreign: { tokens: 15_000 } };
const cached = { load: 'cached', kind: 'itpm', per_min: 2_400_000 };
const otpm = { load: 'output', kind: 'otpm', per_min: 240_000,
  foreign: { tokens: 200, max_tokens: 400 } };
const cases = [
  { name: 'requests', ...rpm, burst_s: 60 },
  { name: 'requests, bursts of 1 s', ...rpm, burst_s: 1 },
  { name: 'requests, configured', ...rpm, burst_s: 10, configured: true },
  { name: 'input', ...itpm, burst_s: 60 },
  { name: 'input, bursts of 1 s', ...itpm, burst_s: 1 },
  { name: 'input, configured', ...itpm, burst_s: 10, configured: true },
  { name: 'input, cached', ...cached, burst_s: 60 },
  { name: 'input, cached, bursts of 1 s', ...cached, burst_s: 1 },
  { name: 'output', ...otpm, burst_s: 60 },
  { name: 'output, bursts of 1 s', ...otpm, burst_s: 1 },
  { name: 'requests, another client', ...rpm, burst_s: 10, shared: true },
  { name: 'input, another client', ...itpm, burst_s: 10, shared: true },
  { name: 'output, another client', ...otpm, burst_s: 10, shared: true },
  { name: 'requests, limits fall', ...rpm, burst_s: 10, falls: true },
  { name: 'input, limits fall', ...itpm, burst_s: 10, falls: true },
  { name: 'output, limits fall', ...otpm, burst_s: 10, falls: true },
  { name: 'requests, SDK', ...rpm, burst_s: 60, sdk: true },
  { name: 'input, SDK', ...itpm, burst_s: 60, sdk: true },
  { name: 'output, SDK', ...otpm, burst_s: 60, sdk: true },
];

const fakeArgs = (it) => [`--${it.kind}`, it.per_min, '--burst-s', it.burst_s,
  '--ttft-ms', 400, '--tokens-per-s', 80, '--jitter', 0.5, '--seed', 7]
  .map(String);

/* --- who asks ---------------------------------------------------------------- */

/** Keeps longhaul's queue filled until stop(). */
function feed(stack, it) {
  const random = chance(1);
  let sent = 0;
  let stopped = false;
  const ahead = it.kind === 'itpm' ? 150 : 400;
  const ended = async () => (await stack.claude.stats()).outcomes.ok ?? 0;
  const lane = async () => {
    while (!stopped) {
      if (sent - await ended() > ahead) {
        await sleep(100);
        continue;
      }
      for (let i = 0; i < 8; i++) {
        const answer = await stack.post(loads[it.load](random, sent++));
        if (answer.status !== 202) throw new Error(answer.text);
      }
    }
  };
  const lanes = Promise.all([1, 2, 3, 4].map(lane));
  return { stop: async () => { stopped = true; await lanes; } };
}

async function startLonghaul(it) {
  const stack = await startStack({ workers: 2, fake: fakeArgs(it),
    env: it.configured
      ? { [`LONGHAUL_LIMIT_${it.kind.toUpperCase()}`]: String(it.per_min) }
      : {} });
  const feeding = feed(stack, it);
  return { claude: stack.claude, stop: async () => {
    await feeding.stop();
    const programs = [...stack.workers, stack.submitter, stack.status,
      stack.claude, stack.redis];
    for (const program of programs) await program.stop('SIGKILL');
  } };
}

/** So many at a time, each with the SDK's own retries. */
async function startSdk(it) {
  const { Anthropic } = createRequire(new URL('../scenario/package.json',
    import.meta.url))('@anthropic-ai/sdk');
  const claude = await startFakeClaude({ args: fakeArgs(it) });
  const sdk = new Anthropic({ baseURL: claude.url, apiKey: 'sk-ant-bench' });
  const random = chance(1);
  let sent = 0;
  let given_up = 0;
  let stopped = false;
  const one = async () => {
    while (!stopped) {
      const body = loads[it.load](random, sent++);
      await sdk.messages.create(body).catch(() => { given_up += !stopped; });
    }
  };
  const all = Promise.all(Array.from({ length: SDK_CONCURRENCY }, one));
  return { claude, given_up: () => given_up, stop: async () => {
    stopped = true;
    await claude.stop('SIGKILL');
    await Promise.race([all, sleep(20_000)]);
  } };
}

/** Another program with the same key takes half of the limit, evenly. */
function startForeign(claude, it) {
  const body = JSON.stringify(request(textOf(it.foreign.tokens ?? 60, 'x'),
    it.foreign));
  const each = it.kind === 'rpm' ? 1 : it.foreign.tokens;
  const gap_ms = 60_000 / (it.per_min / 2 / each);
  let stopped = false;
  let next = Date.now();
  const going = (async () => {
    while (!stopped) {
      await sleep(Math.max(0, next - Date.now()));
      next += gap_ms;
      fetch(`${claude.url}/v1/messages`, { method: 'POST', body,
        headers: { 'content-type': 'application/json',
          'x-api-key': 'sk-ant-another', 'anthropic-version': '2026-10-21' },
      }).then((answer) => answer.text()).catch(() => {});
    }
  })();
  return { stop: async () => { stopped = true; await going; } };
}

/* --- what the witness says ---------------------------------------------------- */

const usedBy = { rpm: () => 1, itpm: (line) => line.input_tokens +
  line.cache_write, otpm: (line) => line.output_tokens };

/** Of the calls that ended in a span of time. */
function judge(lines, it, from, to) {
  const within = lines.filter((line) => line.event === 'end' &&
    line.t_ms >= from && line.t_ms < to);
  const sum = (calls) => calls.filter((line) => line.status === 200)
    .reduce((all, line) => all + usedBy[it.kind](line), 0);
  const ours = within.filter((line) => line.job !== null || it.sdk);
  const others = within.filter((line) => line.job === null && !it.sdk);
  const refused = ours.filter((line) => line.status === 429).length;
  return { used: sum(ours), foreign: sum(others), calls: ours.length, refused,
    ok: ours.filter((line) => line.status === 200).length };
}

const FALLS = [[0.25, 0.8], [0.5, 0.5], [0.75, 0.3]];

/** Waits for the end of the span; how much the limits were worth in it. */
async function spend(claude, it) {
  const began = Date.now();
  const ended = () => claude.ends().filter((line) => line.status === 200 &&
    line.t_ms >= began).length;
  let minutes = 0;
  let share = 1;
  let since = began;
  const book = () => {
    minutes += share * (Date.now() - since) / 60_000;
    since = Date.now();
  };
  for (const [when, less] of it.falls ? FALLS : []) {
    await sleep(began + SPAN_MS * when - Date.now());
    book();
    share = less;
    await claude.mode({ limits: { [it.kind]: Math.round(it.per_min * less) } });
  }
  await sleep(began + SPAN_MS - Date.now());
  const least = 1000 * scale;
  await until(() => ended() >= least, { timeoutMs: SPAN_MS * 3, everyMs: 1000,
    what: `${least} answers (${it.name})` });
  book();
  return { from: began, to: Date.now(), worth: minutes * it.per_min };
}

function rowOf(it, told, worth, given_up) {
  const left = worth - told.foreign;
  const share = told.used / left;
  const refused = told.refused / told.calls;
  const own = !it.shared && !it.falls;
  const [least, most] = own ? [0.97, 0.001] : [0.9, 0.01];
  return { figure: `${it.name}: ${told.ok} answers`,
    measured: `${(share * 100).toFixed(1)} % used`,
    reference: `${told.refused} of ${told.calls} refused` +
      (given_up === undefined ? '' : `, ${given_up} given up`),
    ratio: `${(refused * 100).toFixed(2)} %`,
    ...(it.sdk ? {} : {
      wanted: `>= ${least * 100} %, < ${most * 100} %`,
      ok: share >= least && refused < most }) };
}

async function run(it) {
  const side = it.sdk ? await startSdk(it) : await startLonghaul(it);
  const foreign = it.shared ? startForeign(side.claude, it) : null;
  await sleep(WARM_MS);
  const { from, to, worth } = await spend(side.claude, it);
  const lines = side.claude.ledger();
  await foreign?.stop();
  await side.stop();
  if (process.env.LIMITS_KEEP) console.error(it.name, side.claude.ledgerPath);
  return rowOf(it, judge(lines, it, from, to), worth, side.given_up?.());
}

export async function limits() {
  const names = process.env.LIMITS?.split(';');
  const wanted = cases.filter((it) => !names || names.includes(it.name));
  const rows = new Map();
  const waiting = [...wanted];
  const line = async () => {
    for (let it = waiting.shift(); it; it = waiting.shift()) {
      rows.set(it, await run(it));
      console.error(Object.values(rows.get(it)).join('  '));
    }
  };
  await Promise.all(Array.from(
    { length: Number(process.env.LIMITS_AT_ONCE ?? 3) }, line));
  return wanted.map((it) => rows.get(it));
}
