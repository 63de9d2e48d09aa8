/**
 * What a `when.key` names.
 */
import type { FieldKind } from './compile-field.ts';

/** The field, and for headers and claims which one. */
export interface ConditionKey {
  readonly kind: FieldKind;
  readonly path: readonly string[];
}

const WHOLE_KEYS: ReadonlyMap<string, ConditionKey> = new Map([
  ['source.ip', { kind: 'ipBlocks', path: [] }],
  ['remote.ip', { kind: 'remoteIpBlocks', path: [] }],
  ['source.namespace', { kind: 'namespaces', path: [] }],
  ['source.serviceAccount', { kind: 'serviceAccounts', path: [] }],
  ['source.trustDomain', { kind: 'trustDomains', path: [] }],
  ['source.principal', { kind: 'principals', path: [] }],
  ['request.auth.principal', { kind: 'requestPrincipals', path: [] }],
  ['request.auth.audiences', { kind: 'claim', path: ['aud'] }],
  ['request.auth.presenter', { kind: 'claim', path: ['azp'] }],
  ['destination.ip', { kind: 'destinationIp', path: [] }],
  ['destination.port', { kind: 'ports', path: [] }],
  ['connection.sni', { kind: 'sni', path: [] }],
]);

const HEADERS = 'request.headers';
const CLAIMS = 'request.auth.claims';
const FILTERS = 'experimental.envoy.filters.';

/** null: no key that Istio knows, or its brackets are wrong; documents with such keys are refused when read. */
export function parseConditionKey(key: string): ConditionKey | null {
  const known = WHOLE_KEYS.get(key);
  if (known !== undefined) return known;
  if (key.startsWith(HEADERS)) {
    const name = inBrackets(key.slice(HEADERS.length));
    return name === null ? null : { kind: 'header', path: [name] };
  }
  if (key.startsWith(CLAIMS)) {
    const path = inNestedBrackets(key.slice(CLAIMS.length));
    return path === null ? null : { kind: 'claim', path };
  }
  return key.startsWith(FILTERS) && key.includes('[') ? { kind: 'filterMetadata', path: [] } : null;
}

function inBrackets(text: string): string | null {
  return text.length >= 2 && text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : null;
}

/** `[a][b]` is a path; anything else in brackets, such as `[a[b]]`, is one name as it is written. */
function inNestedBrackets(text: string): readonly string[] | null {
  const path: string[] = [];
  for (let at = 0; at < text.length;) {
    const end = text.indexOf(']', at);
    const name = text.slice(at + 1, end);
    if (text[at] !== '[' || end === -1 || name.includes('[')) {
      const whole = inBrackets(text);
      return whole === null ? null : [whole];
    }
    path.push(name);
    at = end + 1;
  }
  return path.length === 0 ? null : path;
}
