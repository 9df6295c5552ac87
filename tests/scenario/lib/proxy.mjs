// A relay between a program and Redis that can hold back what Redis says:
// the moment between a script's effect and its answer, made as long as a
// test needs it.

import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { tmpdir } from './process.mjs';

/**
 * Relays to the unix socket. holdWhen(text) is asked about every chunk from
 * Redis once it is set; from the first true on nothing from Redis passes
 * until release(). Returns { url, hold(holdWhen), held, release(), cut(),
 * close() }: `held` is a promise of the moment; cut() breaks all connections,
 * and what was held back is lost; block(true) refuses new ones as well.
 */
export async function startProxy(target) {
  const path = join(tmpdir('longhaul-proxy-'), 'redis.sock');
  const pairs = new Set();
  const proxy = { url: `unix://${path}`, held: null };
  let holdWhen = null;
  let kept = null;
  let holding;
  let blocked = false;
  const server = createServer((near) => {
    if (blocked) {
      near.destroy();
      return;
    }
    const far = connect(target);
    const pair = { near, far };
    pairs.add(pair);
    near.on('data', (data) => far.write(data));
    far.on('data', (data) => {
      if (kept === null && holdWhen?.(data.toString('latin1'))) {
        kept = [];
        holding();
      }
      if (kept === null) near.write(data);
      else kept.push({ near, data });
    });
    const end = () => {
      pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) {
      socket.on('error', end);
      socket.on('close', end);
    }
  });
  await new Promise((resolve) => { server.listen(path, resolve); });
  server.unref();
  proxy.hold = (when) => {
    holdWhen = when;
    proxy.held = new Promise((resolve) => { holding = resolve; });
  };
  proxy.release = () => {
    for (const { near, data } of kept ?? []) near.write(data);
    kept = holdWhen = null;
  };
  proxy.cut = () => {
    kept = holdWhen = null;
    for (const { near, far } of [...pairs]) {
      near.destroy();
      far.destroy();
    }
  };
  proxy.block = (on) => {
    blocked = on;
    if (on) proxy.cut();
  };
  proxy.close = () => {
    proxy.cut();
    server.close();
  };
  return proxy;
}
