/**
 * An inline JSON Web Key Set: whether it is one, and whether it gives away what must stay secret.
 * Nothing of its text gets into a message. (RFC 7517)
 */
import type { FieldReader } from './field-reader.ts';

/** The keys of a set; null: the text is none. */
export function keysOf(jwks: string): readonly unknown[] | null {
  try {
    const parsed: unknown = JSON.parse(jwks);
    if (typeof parsed !== 'object' || parsed === null || !('keys' in parsed)) return null;
    return Array.isArray(parsed.keys) ? parsed.keys : null;
  } catch {
    // What JSON.parse says quotes the text.
    return null;
  }
}

export function checkInlineKeySet(rule: FieldReader, jwks: string): void {
  const keys = keysOf(jwks);
  if (keys === null) {
    const fix = 'write {"keys": [...]} as text, each key an object with "kty"';
    rule.reportValue('jwks', 'bad_value', 'jwks is not a JSON Web Key Set', fix);
    return;
  }
  if (keys.length === 0) {
    const message = 'jwks has no keys: every token of this rule is refused';
    rule.reportValue('jwks', 'empty', message, 'add a public key', 'warning');
  }
  const malformed = keys.findIndex((key) => !isKey(key));
  if (malformed !== -1) {
    const message = `key ${malformed} of jwks has no "kty"`;
    rule.reportValue('jwks', 'bad_value', message, 'write a JSON Web Key as the issuer publishes it');
  }
  const secret = keys.findIndex((key) => isKey(key) && ('d' in key || key.kty === 'oct'));
  if (secret !== -1) {
    const message = `key ${secret} of jwks holds a private or symmetric key, which only the issuer should have`;
    const fix = 'publish the public part only, and replace the key: it is in a file that others can read';
    rule.reportValue('jwks', 'private_key', message, fix, 'warning');
  }
}

function isKey(key: unknown): key is { readonly kty: string } {
  return typeof key === 'object' && key !== null && 'kty' in key && typeof key.kty === 'string';
}
