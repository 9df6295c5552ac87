// The simulator of Claude's API, and what it witnessed.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bin, startProcess, tmpdir } from './process.mjs';

/**
 * Starts fake-claude on a free port with its control routes and a ledger.
 * Options: args (more arguments), listen ("127.0.0.1:0"; give the old
 * address to come back under the same URL), dir, witness (false: no ledger,
 * which costs as much as an answer of --fast).
 *
 * Returns the program plus { url, ledger(), ends(), mode(changes), stats(),
 * reset() }: ledger() is every line so far, ends() only the finished calls.
 */
export async function startFakeClaude({ args = [], listen = '127.0.0.1:0',
  dir = tmpdir('longhaul-claude-'), witness = true } = {}) {
  const ledgerPath = join(dir, 'ledger.jsonl');
  const program = await startProcess(bin('fake-claude'), {
    args: ['--listen', listen, '--control',
      ...(witness ? ['--ledger', ledgerPath] : []), '--die-with-parent', ...args],
    waitFor: /listening (http:\/\/\S+)\n/,
  });
  const url = program.match[1];
  const control = async (method, path, body) => {
    const reply = await fetch(`${url}/_fake/${path}`, { method,
      headers: { 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await reply.text();
    if (!reply.ok) throw new Error(`/_fake/${path}: ${reply.status} ${text}`);
    return JSON.parse(text);
  };
  const ledger = () => (existsSync(ledgerPath)
    ? readFileSync(ledgerPath, 'utf8').split('\n').filter(Boolean).map(JSON.parse)
    : []);
  return Object.assign(program, {
    url, dir, ledgerPath, ledger,
    ends: () => ledger().filter((line) => line.event === 'end'),
    mode: (changes) => control('POST', 'mode', changes),
    stats: () => control('GET', 'stats'),
    reset: () => control('POST', 'reset', {}),
  });
}
