// A private redis-server: unix socket only, in its own directory.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { startProcess, tmpdir } from './process.mjs';

/**
 * Options: dir (default: a fresh one; reuse it to restart with the data),
 * appendfsync ("always", "everysec", "no"; null for no AOF), args (more
 * redis-server arguments, e.g. ['--maxmemory', '64mb']), data (where the data
 * is, when not in dir), enter (words before the command), env, onStart(program).
 * Returns the program plus { url: 'unix://...', socket, dir }.
 */
export async function startRedis({ dir = tmpdir('longhaul-redis-'),
  appendfsync = 'always', args = [], data = dir, enter = [], env, onStart } = {}) {
  const socket = join(dir, 'redis.sock');
  const aof = appendfsync
    ? ['--appendonly', 'yes', '--appendfsync', appendfsync]
    : ['--appendonly', 'no'];
  const [command, ...words] = [...enter,
    process.env.REDIS_SERVER ?? 'redis-server'];
  const program = await startProcess(command, {
    name: 'redis-server',
    cwd: dir,
    env,
    args: [...words, '--port', '0', '--unixsocket', socket, '--dir', data,
      '--save', '', '--maxmemory-policy', 'noeviction', ...aof, ...args],
    waitFor: /Ready to accept connections|ready to accept connections/,
  });
  if (!existsSync(socket)) throw new Error('redis-server made no socket');
  Object.assign(program, { url: `unix://${socket}`, socket, dir });
  onStart?.(program);
  return program;
}
