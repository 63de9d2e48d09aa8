/**
 * What a `when.key` names. `config/policy-conditions.ts` has the same keys with what their values may be; it says what
 * is wrong with documents, for which it needs the YAML parser, and the data half does without that.
 */
import { splitConditionKey } from '../core/policy-notation.ts';
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

/** null: no key that Istio knows, or its brackets are wrong; documents with such keys are refused when read. */
export function parseConditionKey(key: string): ConditionKey | null {
  const known = WHOLE_KEYS.get(key);
  if (known !== undefined) return known;
  const { name, path } = splitConditionKey(key);
  if (path === null || path.length === 0) return null;
  if (name === 'request.headers') return path.length === 1 ? { kind: 'header', path } : null;
  if (name === 'request.auth.claims') return { kind: 'claim', path };
  return name.startsWith('experimental.envoy.filters.') ? { kind: 'filterMetadata', path: [] } : null;
}
