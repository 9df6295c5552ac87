// The library of fault.c, preloaded into one program, and its five numbers.

import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));

/** [kind, number, errno]: ENOSPC, ECONNRESET, EIO, ECONNREFUSED. */
export const KINDS = [['write', 1, 28], ['send', 2, 104], ['sync', 3, 5],
  ['connect', 4, 111]];

/** Which of `total` calls are to fail: `most` of them, evenly spread. */
export function chosen(total, most) {
  const count = Math.min(total, most);
  return Array.from({ length: count }, (_, i) =>
    1 + Math.floor(i * total / count));
}

export class Fault {
  constructor(dir) {
    this.library = join(dir, 'fault.so');
    const built = spawnSync(process.env.CC ?? 'cc', ['-shared', '-fPIC', '-O1',
      '-o', this.library, join(here, 'fault.c'), '-ldl'], { encoding: 'utf8' });
    if (built.status !== 0) throw new Error(built.stderr);
    this.path = join(dir, 'fault');
    writeFileSync(this.path, Buffer.alloc(40));
    this.fd = openSync(this.path, 'r+');
  }
  get env() {
    return { LD_PRELOAD: this.library, LONGHAUL_FAULT_FILE: this.path };
  }
  /** The nth from now, from 1; 0: none, they are only counted. */
  arm([, kind, error], nth) {
    const bytes = Buffer.alloc(40);
    [kind, nth - 1, error, 0, 0].forEach((n, i) =>
      bytes.writeBigInt64LE(BigInt(n), i * 8));
    writeSync(this.fd, bytes, 0, 40, 0);
  }
  get told() {
    const bytes = Buffer.alloc(16);
    readSync(this.fd, bytes, 0, 16, 24);
    return { calls: Number(bytes.readBigInt64LE(0)),
      failed: Number(bytes.readBigInt64LE(8)) === 1 };
  }
  close() { closeSync(this.fd); }
}
