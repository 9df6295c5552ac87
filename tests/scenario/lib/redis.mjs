// A private redis-server: unix socket only, in its own directory.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { startProcess, tmpdir } from './process.mjs';

/**
 * Options: dir (default: a fresh one; reuse it to restart with the data),
 * appendfsync ("always", "everysec", "no"; null for no AOF), args (more
 * redis-server arguments, e.g. ['--maxmemory', '64mb']).
 * Returns the program plus { url: 'unix://...', socket, dir }.
 */
export async function startRedis({ dir = tmpdir('longhaul-redis-'),
  appendfsync = 'always', args = [] } = {}) {
  const socket = join(dir, 'redis.sock');
  const aof = appendfsync
    ? ['--appendonly', 'yes', '--appendfsync', appendfsync]
    : ['--appendonly', 'no'];
  const program = await startProcess(process.env.REDIS_SERVER ?? 'redis-server', {
    name: 'redis-server',
    cwd: dir,
    args: ['--port', '0', '--unixsocket', socket, '--dir', dir,
      '--save', '', '--maxmemory-policy', 'noeviction', ...aof, ...args],
    waitFor: /Ready to accept connections|ready to accept connections/,
  });
  if (!existsSync(socket)) throw new Error('redis-server made no socket');
  return Object.assign(program, { url: `unix://${socket}`, socket, dir });
}
