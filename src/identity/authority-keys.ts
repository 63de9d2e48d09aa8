/**
 * The keys of authorities and workloads: made, read from PEM and written as PEM. Which ones there are is decided here.
 */
import { createPrivateKey, createPublicKey, type KeyObject, webcrypto } from 'node:crypto';
import { MeshError } from '../core/errors.ts';

export type KeyAlgorithmName = 'ecdsa-p256' | 'ecdsa-p384' | 'rsa-2048';

export type SigningAlgorithm =
  | (webcrypto.EcKeyGenParams & { readonly hash: string })
  | (webcrypto.RsaHashedKeyGenParams & { readonly hash: string });

export const KEY_ALGORITHMS: Readonly<Record<KeyAlgorithmName, SigningAlgorithm>> = {
  'ecdsa-p256': { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  'ecdsa-p384': { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  'rsa-2048': {
    name: 'RSASSA-PKCS1-v1_5',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: 'SHA-256',
  },
};

const MIN_RSA_BITS = 2048;

export async function generateKeys(algorithm: SigningAlgorithm): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}

/** PKCS #8. The caller owns the text; nothing here keeps it. */
export async function exportPrivateKey(keys: webcrypto.CryptoKeyPair): Promise<string> {
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const lines = pkcs8.toString('base64').replaceAll(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN PRIVATE KEY-----\n${lines}\n-----END PRIVATE KEY-----\n`;
}

/** An authority's key from PEM, and how it signs. Throws `identity_invalid`, with no word of the key's content. */
export async function importKeys(
  privateKeyPem: string,
): Promise<{ readonly keys: webcrypto.CryptoKeyPair; readonly signing: SigningAlgorithm }> {
  let key: KeyObject;
  try {
    key = createPrivateKey(privateKeyPem);
  } catch {
    // The library's message is left out: it is about the bytes of a key.
    throw new MeshError('identity_invalid', 'the private key cannot be read; give it unencrypted, as PEM');
  }
  const signing = signingOf(key);
  const importing = async (
    format: 'pkcs8' | 'spki',
    der: Buffer,
    usage: 'sign' | 'verify',
  ): Promise<webcrypto.CryptoKey> =>
    webcrypto.subtle.importKey(format, new Uint8Array(der), signing, true, [usage]);
  const privateKey = await importing('pkcs8', key.export({ type: 'pkcs8', format: 'der' }), 'sign');
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  return { keys: { privateKey, publicKey: await importing('spki', spki, 'verify') }, signing };
}

function signingOf(key: KeyObject): SigningAlgorithm {
  const { modulusLength = 0, namedCurve = '' } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === 'ec' && namedCurve === 'prime256v1') return KEY_ALGORITHMS['ecdsa-p256'];
  if (key.asymmetricKeyType === 'ec' && namedCurve === 'secp384r1') return KEY_ALGORITHMS['ecdsa-p384'];
  if (key.asymmetricKeyType === 'rsa' && modulusLength >= MIN_RSA_BITS) return KEY_ALGORITHMS['rsa-2048'];
  const found = [key.asymmetricKeyType, namedCurve, modulusLength || ''].filter(Boolean).join(' ');
  throw new MeshError(
    'identity_invalid',
    `the private key is "${found}"; an authority signs with ECDSA P-256 or P-384, or RSA from ${MIN_RSA_BITS} bits on`,
  );
}
