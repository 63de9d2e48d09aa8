/** What a verified token gives to those behind: the claims that policies see, and the fields that the app gets. */
import type { JwtRule, VerifiedToken } from '../core/jwt-plan.ts';
import { isJsonObject, memberOf } from './jwt-json.ts';
import type { JsonObject } from './jwt-json.ts';
import type { ParsedJwt } from './jwt-parse.ts';

/** Split on blanks in every payload (Istio's normalize_payload_in_metadata). */
const SPACE_DELIMITED: readonly string[] = ['scope', 'permission'];

export function verifiedTokenOf(jwt: ParsedJwt, rule: Pick<JwtRule, 'spaceDelimitedClaims'>): VerifiedToken {
  const payload: Record<string, unknown> = { ...jwt.payload };
  for (const name of [...SPACE_DELIMITED, ...rule.spaceDelimitedClaims]) {
    const value = memberOf(jwt.payload, name);
    if (typeof value === 'string')
      define(
        payload,
        name,
        value.split(' ').filter((item) => item !== ''),
      );
  }
  return { issuer: jwt.issuer, subject: jwt.subject, payload };
}

/** `payload.__proto__ = …` would not be a claim. */
function define(object: Record<string, unknown>, name: string, value: unknown): void {
  Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
}

/** Name, value, name, value … of outputClaimToHeaders and outputPayloadToHeader. */
export function outputFields(jwt: ParsedJwt, rule: JwtRule): string[] {
  const fields: string[] = [];
  for (const { claim, header } of rule.outputClaimToHeaders) {
    const text = claimText(claimOf(jwt.payload, claim));
    if (text !== '' && isWritable(text)) fields.push(header, text.trim());
  }
  if (rule.outputPayloadToHeader !== '') fields.push(rule.outputPayloadToHeader, jwt.payloadText);
  return fields;
}

/** The claim that would break the head that it is written into; null: there is none. */
export function unwritableClaim(jwt: ParsedJwt, rule: JwtRule): string | null {
  const texts = rule.outputClaimToHeaders.map(({ claim }) => claimText(claimOf(jwt.payload, claim)));
  const index = texts.findIndex((text) => !isWritable(text));
  return rule.outputClaimToHeaders[index]?.claim ?? null;
}

/** Dots walk into objects; a name that holds a dot cannot be reached. */
function claimOf(payload: JsonObject, path: string): unknown {
  let value: unknown = payload;
  for (const name of path.split('.')) {
    if (!isJsonObject(value)) return undefined;
    value = memberOf(value, name);
  }
  return value;
}

/** '' : no field. As latin1 text of its bytes. */
function claimText(value: unknown): string {
  if (typeof value === 'string') return Buffer.from(value).toString('latin1');
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'number') return formatClaimNumber(value);
  if (typeof value !== 'object' || value === null) return '';
  return Buffer.from(JSON.stringify(sortedMembers(value))).toString('base64');
}

/** Members by name, as Envoy writes them. No deeper than a token may be. */
function sortedMembers(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortedMembers);
  if (!isJsonObject(value)) return value;
  const sorted: Record<string, unknown> = {};
  for (const name of Object.keys(value).toSorted()) define(sorted, name, sortedMembers(value[name]));
  return sorted;
}

/** No control but the tab: nothing that could end a field or begin another. */
function isWritable(text: string): boolean {
  // oxlint-disable-next-line no-control-regex -- these are what a field must not hold
  return !/[\u0000-\u0008\u000a-\u001f\u007f]/.test(text);
}

/** Integers from 0 as they are, all else as C's `%f`; '' for what is no number of JSON. */
export function formatClaimNumber(value: number): string {
  if (!Number.isFinite(value)) return '';
  if (Number.isInteger(value) && value >= 0 && value < 2 ** 64) return String(BigInt(value));
  if (Number.isInteger(value)) return `${BigInt(value)}.000000`;
  // toFixed rounds up where the seventh digit is an exact half; C rounds to the even neighbour.
  const parts = Math.abs(value) * 128;
  if (!Number.isInteger(parts)) return value.toFixed(6);
  const millionths = (BigInt(parts) * 78_125n) / 10n;
  const even = parts % 2 === 1 && millionths % 2n === 1n ? millionths + 1n : millionths;
  const sign = value < 0 ? '-' : '';
  return `${sign}${even / 1_000_000n}.${String(even % 1_000_000n).padStart(6, '0')}`;
}
