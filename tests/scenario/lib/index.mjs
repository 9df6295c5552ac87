// What a scenario needs: import { startFakeClaude, ... } from './lib/index.mjs'
export * from './process.mjs';
export * from './redis.mjs';
export * from './fake-claude.mjs';
export * from './stack.mjs';
export * from './proxy.mjs';
