/** When an agent asks for the next certificate, and when it asks again after a failure. Pure. */

export const FIRST_RETRY_MS = 500;
export const MAX_RETRY_MS = 8_000;

export interface RenewalSettings {
  /** Share of the lifetime after which a certificate is renewed. */
  readonly renewAt: number;
  /** How far that share is moved at random, either way: agents that start together do not ask together for ever. */
  readonly jitter: number;
}

/** As Istio's agent: the lifetime counts from when the certificate came. `random` is from 0 to 1. */
export function renewalTimeMs(
  settings: RenewalSettings,
  cameAtMs: number,
  notAfterMs: number,
  random: number,
): number {
  const share = settings.renewAt + (2 * random - 1) * settings.jitter;
  return cameAtMs + Math.min(1, Math.max(0, share)) * Math.max(0, notAfterMs - cameAtMs);
}

/** Doubles from half a second to eight; between half of that and all of it. A CA that is back is found within that. */
export function retryDelayMs(failures: number, random: number): number {
  const fullMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(30, Math.max(0, failures - 1)));
  return fullMs * (0.5 + random / 2);
}
