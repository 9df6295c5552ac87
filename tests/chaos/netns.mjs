// A network of its own for one program, as root: packets are really dropped,
// and TCP on both sides finds out by itself. The namespace lives as long as
// the process that holds it, so that nothing is left behind.

import { execFileSync, spawn } from 'node:child_process';
import { sleep } from './lib.mjs';

const ip = (...words) => execFileSync('ip', words,
  { stdio: ['ignore', 'ignore', 'pipe'] });

/** { host, enter, down(), up(), stop() }, or { why } where it is not possible.
 * `host`: this side's address as the program inside sees it; `enter`: the
 * words before its command. */
export async function startNetwork() {
  if (process.getuid() !== 0) return { why: 'not root' };
  const holder = spawn('unshare', ['-n', 'setpriv', '--pdeathsig', 'KILL',
    'sleep', 'infinity'], { stdio: 'ignore' });
  const end = () => holder.kill('SIGKILL');
  process.once('exit', end);
  const failed = new Promise((resolve) => { holder.once('error', resolve); });
  // RFC 2544's addresses: nobody's.
  const { pid } = process;
  const block = `198.18.${(pid >> 6) % 256}`;
  const at = (pid % 64) * 4;
  const [outer, inner] = [`lh${pid}o`, `lh${pid}i`];
  const enter = ['nsenter', '-t', String(holder.pid), '-n'];
  const inside = (...words) => execFileSync(enter[0],
    [...enter.slice(1), 'ip', ...words], { stdio: ['ignore', 'ignore', 'pipe'] });
  try {
    const error = await Promise.race([failed, sleep(200)]);
    if (error) throw error;
    ip('link', 'add', outer, 'type', 'veth', 'peer', 'name', inner,
      'netns', String(holder.pid));
    ip('addr', 'add', `${block}.${at + 1}/30`, 'dev', outer);
    ip('link', 'set', outer, 'up');
    inside('addr', 'add', `${block}.${at + 2}/30`, 'dev', inner);
    inside('link', 'set', inner, 'up');
    inside('link', 'set', 'lo', 'up');
  } catch (error) {
    end();
    return { why: String(error.stderr ?? error.message).trim().slice(0, 100) };
  }
  return { host: `${block}.${at + 1}`, enter,
    down: () => ip('link', 'set', outer, 'down'),
    up: () => ip('link', 'set', outer, 'up'),
    stop: end };
}
