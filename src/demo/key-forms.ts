/**
 * Finds a private key in the bytes of a file, whatever form it was written in: DER, PEM or JWK. Pure.
 *
 * Every form holds the key's secret number as it is (DER) or in base64 at one of three offsets (PEM of any DER, JWK);
 * so the number is looked for, and a container that nobody thought of hides nothing.
 */
import { createPrivateKey } from 'node:crypto';

export interface KeyForms {
  readonly of: string;
  readonly der: Buffer;
  /** By where in a group of three bytes the number begins. */
  readonly base64: readonly [string, string, string];
}

export function keyForms(of: string, privateKeyPem: string): KeyForms {
  const { d } = createPrivateKey(privateKeyPem).export({ format: 'jwk' });
  if (d === undefined) throw new Error(`the key of ${of} has no private number`);
  const der = Buffer.from(d, 'base64url');
  return { of, der, base64: [base64At(der, 0), base64At(der, 1), base64At(der, 2)] };
}

/** Those of its characters that no neighbour has a bit in. */
function base64At(bytes: Buffer, offset: number): string {
  const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64');
  return text.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6));
}

/** Says of the first key that is in the content whose it is and in which form; null: there is none. */
export function findKey(content: Buffer, keys: readonly KeyForms[]): string | null {
  const text = base64Of(content);
  for (const { base64, der, of } of keys) {
    if (content.includes(der)) return `the key of ${of} as DER`;
    if (base64.some((form) => text.includes(form))) return `the key of ${of} as PEM or JWK`;
  }
  return null;
}

/** Without blanks and line ends, also those that JSON writes as `\\n`; in the alphabet of PEM. */
function base64Of(content: Buffer): string {
  return content
    .toString('latin1')
    .replaceAll(/\s|\\[nr]/g, '')
    .replaceAll('-', '+')
    .replaceAll('_', '/');
}
