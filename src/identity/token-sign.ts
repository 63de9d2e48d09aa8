/**
 * Development tokens: ES256 JWTs that name a service account, as Kubernetes' projected tokens do, and the key pair
 * that signs them. For development and the demo only: who has the key is everybody.
 */
import { createPrivateKey, type KeyObject, webcrypto } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { SignJWT } from 'jose';
import { MeshError, messageOf } from '../core/errors.ts';
import { exportPrivateKey, generateKeys, KEY_ALGORITHMS } from './authority-keys.ts';
import { isNamespaceName, isServiceAccountName, type ServiceAccount, subjectOf } from './service-account.ts';

export const DEVELOPMENT_ISSUER = 'https://postern.invalid';
export const DEFAULT_AUDIENCE = 'istio-ca';

export interface TokenKeyPair {
  /** PKCS #8. The caller owns it. */
  readonly privateKeyPem: string;
  /** SPKI. */
  readonly publicKeyPem: string;
}

export interface TokenRequest extends ServiceAccount {
  readonly privateKeyPem: string;
  /** Default `istio-ca`. */
  readonly audience?: string;
  readonly ttlMs: number;
  /** Wall clock. */
  readonly nowMs?: number;
}

export async function createTokenKey(): Promise<TokenKeyPair> {
  const keys = await generateKeys(KEY_ALGORITHMS['ecdsa-p256']);
  const spki = Buffer.from(await webcrypto.subtle.exportKey('spki', keys.publicKey)).toString('base64');
  const lines = spki.replaceAll(/.{64}(?=.)/g, '$&\n');
  return {
    privateKeyPem: await exportPrivateKey(keys),
    publicKeyPem: `-----BEGIN PUBLIC KEY-----\n${lines}\n-----END PUBLIC KEY-----\n`,
  };
}

/** Writes FILE, mode 0600, and FILE.pub; rejects if either is there, and then leaves none of its own behind. */
export async function writeTokenKey(file: string): Promise<void> {
  const pair = await createTokenKey();
  const publicFile = `${file}.pub`;
  await writeNew(publicFile, pair.publicKeyPem, 0o644);
  try {
    await writeNew(file, pair.privateKeyPem, 0o600);
  } catch (thrown) {
    await rm(publicFile, { force: true });
    throw thrown;
  }
}

async function writeNew(file: string, content: string, mode: number): Promise<void> {
  let isOurs = false;
  try {
    const handle = await open(file, 'wx', mode);
    isOurs = true;
    try {
      await handle.chmod(mode);
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (thrown) {
    if (isOurs) await rm(file, { force: true });
    const isTaken = thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIST';
    const why = isTaken
      ? 'it is there already, and a key is never overwritten; remove it or give another name'
      : `${messageOf(thrown)}; correct the path or the permissions`;
    throw new MeshError('token_invalid', `Cannot write "${file}": ${why}`, { cause: thrown });
  }
}

/** Signs a token. Rejects with `token_invalid` for names that are none, and for a key that is not P-256. */
export async function signToken(request: TokenRequest): Promise<string> {
  const { namespace, serviceAccount } = request;
  if (!isNamespaceName(namespace)) throw noName('namespace', namespace);
  if (!isServiceAccountName(serviceAccount)) throw noName('service account', serviceAccount);
  const issuedAt = Math.floor((request.nowMs ?? Date.now()) / 1000);
  return new SignJWT()
    .setProtectedHeader({ alg: 'ES256', typ: 'JWT' })
    .setSubject(subjectOf(request))
    .setIssuer(DEVELOPMENT_ISSUER)
    .setAudience(request.audience ?? DEFAULT_AUDIENCE)
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + Math.ceil(request.ttlMs / 1000))
    .sign(readSigningKey(request.privateKeyPem));
}

function noName(what: string, name: string): MeshError {
  return new MeshError(
    'token_invalid',
    `Cannot sign for ${what} ${JSON.stringify(name)}: it is not a name of Kubernetes; use a-z 0-9 and - within`,
  );
}

function readSigningKey(pem: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    // The library's message is left out: it is about the bytes of a key.
    throw badKey('it is not an unencrypted private key as PEM');
  }
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw badKey('it is not of the curve P-256');
  return key;
}

function badKey(why: string): MeshError {
  const fix = 'make one with "postern token --new-key FILE"';
  return new MeshError('token_invalid', `Cannot sign with this key: ${why}; ${fix}`);
}
