// Prompts, answers and keys in no log: every scenario plants canaries and
// stopAll() looks for them; this one proves that it would find them.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CANARY, startProcess, startStack, stopAll } from './lib/index.mjs';

describe('canaries', () => {
  test('one in a log is found', async () => {
    await startProcess('/bin/sh', { name: 'loud',
      args: ['-c', `echo ${CANARY} >&2; sleep 30`], waitFor: /canary/ });
    await assert.rejects(stopAll(), /in the log of loud/);
  });

  test('none is in a log at level debug, whatever goes wrong', async () => {
    const stack = await startStack({ env: { LONGHAUL_LOG: 'debug' },
      workerEnv: { LONGHAUL_RETRY_BASE: '10ms', LONGHAUL_RETRY_CAP: '50ms' } });
    const ids = [];
    for (const card of ['mock-ok', 'mock-400', 'mock-cut', 'mock-garbage',
      'mock-empty', 'mock-sse-error', 'mock-refusal']) {
      ids.push(await stack.submit(card, { longhaul: { max_attempts: 2,
        expires_in: 3, tags: ['t'] }, metadata: { user_id: CANARY } }));
      ids.push(await stack.submit(card, { max_tokens: 60_000,
        longhaul: { max_attempts: 2, expires_in: 3 } }));
    }
    for (const bad of [`{"model":"${CANARY}`, `{"${CANARY}":1}`, CANARY,
      `{"longhaul":{"${CANARY}":1},"message":"x"}`]) {
      assert.equal((await stack.post(bad)).status, 400);
    }
    await stack.call('GET', `/v1/jobs/${CANARY}?x=${CANARY}`,
      undefined, { 'x-api-key': CANARY, authorization: `Bearer ${CANARY}` });
    await stack.waitAll(ids, 20_000);
    await stopAll();
  });
});
