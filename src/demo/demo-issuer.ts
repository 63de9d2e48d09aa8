/** Who signs tokens in the demo: a key pair in memory, and its public half as the key set that policies carry. */
import { exportJWK, generateKeyPair, SignJWT } from 'jose';

export const ISSUER = 'https://issuer.postern.invalid';
const KEY_ID = 'demo';
const LIFETIME = '1h';

export interface DemoIssuer {
  /** JSON Web Key Set. */
  readonly jwks: string;
  token(subject: string): Promise<string>;
}

export async function createDemoIssuer(): Promise<DemoIssuer> {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const key = { ...(await exportJWK(publicKey)), kid: KEY_ID, alg: 'ES256', use: 'sig' };
  return {
    jwks: JSON.stringify({ keys: [key] }),
    token: (subject) =>
      new SignJWT({})
        .setProtectedHeader({ alg: 'ES256', kid: KEY_ID })
        .setIssuer(ISSUER)
        .setSubject(subject)
        .setExpirationTime(LIFETIME)
        .sign(privateKey),
  };
}
