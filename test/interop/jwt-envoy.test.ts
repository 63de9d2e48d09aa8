/**
 * Tokens beside a real Envoy: same answer and status, and what it lets through reaches the app with the same path and
 * fields; POSTERN_ENVOY names the binary, POSTERN_SEED repeats a run.
 */
import { describe, it } from 'node:test';
import { SKIP_WITHOUT_ENVOY } from './envoy-process.ts';
import { assertSame, compareJwt } from './jwt-envoy.ts';

const REQUESTS = 1_500;

describe('tokens beside Envoy', { skip: SKIP_WITHOUT_ENVOY }, () => {
  for (const [name, seed] of [
    ['of a seed that stays', 1],
    ['of a new seed', Number(process.env['POSTERN_SEED'] ?? Date.now() % 1_000_000)],
  ] as const) {
    it(`${REQUESTS} requests ${name}`, async (context) => {
      context.diagnostic(`seed ${seed}`);
      const comparison = await compareJwt(seed, REQUESTS);
      context.diagnostic(JSON.stringify(comparison.distribution));
      assertSame(comparison);
    });
  }
});
