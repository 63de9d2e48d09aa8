/**
 * Before a sidecar with policies is timed: each case that its policies tell apart gets the status that they say.
 */
import { askOverTls } from './check-peer.ts';
import type { Certificates } from './certificates.ts';
import type { PolicyCase } from './policy/enforced-policy.ts';
import type { RunningPeer } from './peers/running-peer.ts';

/** Throws with the first case that is not answered as it must be. */
export async function checkPolicy(
  { name, port }: Pick<RunningPeer, 'name' | 'port'>,
  { roots }: Pick<Certificates, 'roots'>,
  cases: readonly PolicyCase[],
): Promise<void> {
  for (const { what, status, body, ...asked } of cases) {
    const answer = await askOverTls(port, roots, asked);
    const unfit = (how: string): Error => new Error(`${name} is not fit to be measured: ${what} ${how}`);
    if (answer?.status !== status) throw unfit(`got ${answer?.status ?? 'no answer'}, not ${status}`);
    if (!answer.body.includes(body)) throw unfit(`got an answer without ${JSON.stringify(body)}`);
  }
}
