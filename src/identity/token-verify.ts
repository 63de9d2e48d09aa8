/**
 * Verifies development tokens: ES256 and nothing else, one issuer, known audiences, a time, and the subject of a
 * service account. A refusal is a MeshError whose code and detail are for the log; callers are told less.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { errors, type JWTPayload, jwtVerify } from 'jose';
import { MeshError, messageOf, whyOf } from '../core/errors.ts';
import { parsePem } from '../svid/pem.ts';
import { quoteText } from '../svid/quote-text.ts';
import { fingerprintOf } from './file-watch.ts';
import { readBounded } from './read-bounded.ts';
import { parseSubject, type ServiceAccount } from './service-account.ts';

/** Ten times what Kubernetes issues. */
export const MAX_TOKEN_BYTES = 16_384;
/** Clocks of one mesh differ by this much at most. */
const CLOCK_LAG_S = 30;

/** Answers who a token is of, or rejects with a MeshError. */
export interface TokenVerifier {
  verify(token: string): Promise<ServiceAccount>;
}

export interface DevelopmentTokenOptions {
  readonly issuer: string;
  /** SPKI as PEM, or the file that holds it, which is read again whenever it changes. */
  readonly publicKey: { readonly pem: string } | { readonly file: string };
  readonly audiences: readonly string[];
  /** Told when a changed key file cannot be used; the last good key stays in force. */
  readonly onError?: (message: string) => void;
  /** Wall clock. */
  readonly nowMs?: () => number;
}

/** Rejects with `token_invalid` if the key cannot be used now. */
export async function createDevelopmentVerifier(options: DevelopmentTokenOptions): Promise<TokenVerifier> {
  const { publicKey } = options;
  if ('pem' in publicKey) {
    const key = readPublicKey(publicKey.pem, 'the given key');
    return { verify: (token) => verifyToken(token, key, options) };
  }
  const { file } = publicKey;
  let fingerprint = await fingerprintOf([file]);
  let key = await readKeyFile(file);
  return {
    async verify(token) {
      const now = await fingerprintOf([file]);
      if (now !== fingerprint) {
        fingerprint = now;
        try {
          key = await readKeyFile(file);
        } catch (thrown) {
          options.onError?.(`${whyOf(thrown)}; the last good key stays in force`);
        }
      }
      return verifyToken(token, key, options);
    },
  };
}

/** Tries them in order; the first that verifies decides. The reason told is that of the one that came furthest. */
export function firstOf(verifiers: readonly TokenVerifier[]): TokenVerifier {
  return {
    async verify(token) {
      let best: MeshError | null = null;
      for (const verifier of verifiers) {
        try {
          return await verifier.verify(token);
        } catch (thrown) {
          if (!(thrown instanceof MeshError)) throw thrown;
          if (best === null || best.code === 'token_invalid') best = thrown;
        }
      }
      throw best ?? new MeshError('token_invalid', 'no verifier of tokens is configured');
    },
  };
}

async function verifyToken(
  token: string,
  key: KeyObject,
  options: DevelopmentTokenOptions,
): Promise<ServiceAccount> {
  if (token === '') throw new MeshError('token_missing');
  if (token.length > MAX_TOKEN_BYTES)
    throw new MeshError('token_invalid', `it is longer than ${MAX_TOKEN_BYTES} bytes`);
  let payload: JWTPayload;
  try {
    ({ payload } = await jwtVerify(token, key, {
      algorithms: ['ES256'],
      issuer: options.issuer,
      audience: [...options.audiences],
      requiredClaims: ['exp', 'iat', 'sub'],
      clockTolerance: CLOCK_LAG_S,
      currentDate: new Date(options.nowMs?.() ?? Date.now()),
    }));
  } catch (thrown) {
    throw refusalOf(thrown);
  }
  // Not turned into text: that of a list of one is its member's.
  const subject: unknown = payload.sub;
  const account = typeof subject === 'string' ? parseSubject(subject) : null;
  if (account === null)
    throw new MeshError(
      'token_wrong_subject',
      `"sub" is ${quoteText(JSON.stringify(subject))}, wanted "system:serviceaccount:NAMESPACE:NAME"`,
    );
  return account;
}

function refusalOf(thrown: unknown): MeshError {
  if (thrown instanceof errors.JWTExpired) return new MeshError('token_expired', '"exp" is in the past');
  if (thrown instanceof errors.JWTClaimValidationFailed) {
    // The library's text names claims and never their values.
    const detail = thrown.message;
    if (thrown.claim === 'aud') return new MeshError('token_wrong_audience', detail);
    if (thrown.claim === 'iss') return new MeshError('token_wrong_issuer', detail);
    if (thrown.claim === 'nbf' || thrown.claim === 'iat') return new MeshError('token_expired', detail);
    if (thrown.claim === 'sub') return new MeshError('token_wrong_subject', detail);
    return new MeshError('token_invalid', detail);
  }
  // By code and not by message: what a parser says of malformed input may quote it.
  const code = thrown instanceof errors.JOSEError ? thrown.code : 'it cannot be read';
  return new MeshError('token_invalid', `verification failed: ${code}`);
}

async function readKeyFile(file: string): Promise<KeyObject> {
  let pem: string;
  try {
    pem = await readBounded(file);
  } catch (thrown) {
    throw new MeshError(
      'token_invalid',
      `Cannot read the token key "${file}": ${messageOf(thrown)}; make one with "postern token --new-key FILE", which writes FILE.pub`,
      { cause: thrown },
    );
  }
  return readPublicKey(pem, `"${file}"`);
}

function readPublicKey(pem: string, where: string): KeyObject {
  const refuse = (why: string): MeshError =>
    new MeshError(
      'token_invalid',
      `Cannot verify tokens with ${where}: ${why}; give the FILE.pub of the key`,
    );
  const blocks = parsePem(pem);
  if ('problem' in blocks) throw refuse(blocks.problem);
  const [block] = blocks;
  // The library would also take the private key, which has no business here.
  if (block === undefined || blocks.length !== 1 || block.label !== 'PUBLIC KEY')
    throw refuse('it is not one "-----BEGIN PUBLIC KEY-----"');
  let key: KeyObject;
  try {
    key = createPublicKey(block.text);
  } catch {
    throw refuse('its content is not a public key');
  }
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    throw refuse('it is not of the curve P-256, which ES256 needs');
  return key;
}
