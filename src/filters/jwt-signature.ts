/**
 * Signatures of tokens, verified by jose with keys of a key set and nothing else: what a token says of keys (`jwk`,
 * `jku`, `x5c`, `x5u`) is never read. Loaded when the first rule is.
 */
import type { KeySet } from './jwt-key-set.ts';
import type { ParsedJwt } from './jwt-parse.ts';
import type { JwtStatus } from './jwt-status.ts';

type Jose = typeof import('jose/jws/compact/verify');

let loading: Promise<Jose> | null = null;

/** Begins to load the library, so that the first token does not wait for it. */
export function loadJose(): Promise<Jose> {
  loading ??= import('jose/jws/compact/verify');
  return loading;
}

const ED25519_SIGNATURE_BYTES = 64;

/** `ok` if one of the keys verifies it. Keys are candidates as in Envoy: by kid where both have one, and by alg. */
export async function verifySignature(token: string, jwt: ParsedJwt, set: KeySet): Promise<'ok' | JwtStatus> {
  const { alg, kid } = jwt;
  if (set.keys.length === 0) return 'noValidKey';
  const candidates = set.keys.filter(
    (key) => (kid === null || key.kid === null || key.kid === kid) && (key.alg === null || key.alg === alg),
  );
  if (candidates.length === 0) return 'noKeyMatches';
  if (jwt.isCritical) return 'verificationFails';
  const { compactVerify } = await loadJose();
  for (const { algorithms, key } of candidates) {
    // Envoy puts every signature to such a key, whatever its algorithm, and answers so.
    if (algorithms.includes('EdDSA') && jwt.signatureBytes !== ED25519_SIGNATURE_BYTES)
      return 'ed25519Length';
    if (!algorithms.includes(alg)) continue;
    try {
      await compactVerify(token, key, { algorithms: [alg] });
      return 'ok';
    } catch {
      // The next key may be the one; jose's reasons could quote the token.
    }
  }
  return 'verificationFails';
}
