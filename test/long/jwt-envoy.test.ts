/** Very many requests with tokens beside a real Envoy, each five thousand of a seed of its own. */
import { describe, it } from 'node:test';
import { SKIP_WITHOUT_ENVOY } from '../interop/envoy-process.ts';
import { assertSame, compareJwt } from '../interop/jwt-envoy.ts';
import { longSeconds } from '../support/long-seconds.ts';

const SECONDS = 300;
const REQUESTS = 5_000;

describe('tokens beside Envoy, at length', { skip: SKIP_WITHOUT_ENVOY }, () => {
  it('are answered alike', async (context) => {
    const endMs = performance.now() + longSeconds(SECONDS) * 1_000;
    let seed = Number(process.env['POSTERN_SEED'] ?? Date.now() % 1_000_000);
    do {
      context.diagnostic(`seed ${seed}`);
      assertSame(await compareJwt(seed, REQUESTS));
      seed++;
    } while (performance.now() < endMs);
  });
});
