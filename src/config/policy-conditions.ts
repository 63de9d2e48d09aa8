/**
 * `when` of AuthorizationPolicy: which keys there are, what their values may be, and where they can be known.
 * Istio skips a rule whose key it does not know, DENY included; here such a key is an error.
 */
import { splitConditionKey } from '../core/policy-notation.ts';
import { nearestName } from './nearest-name.ts';
import {
  bad,
  ipBlockFault,
  portFault,
  principalFault,
  serviceAccountFault,
  textFault,
  trustDomainFault,
} from './policy-values.ts';
import type { ValueCheck, ValueFault } from './policy-values.ts';
import { shown } from './yaml-tree.ts';

export interface ConditionKey {
  readonly check: ValueCheck;
  /** It needs a request: TCP rules cannot look at it. */
  readonly httpOnly: boolean;
  /** It comes from the peer's certificate or token, which CUSTOM rules are evaluated before. */
  readonly authenticated: boolean;
  /** Dynamic metadata, which no filter of this proxy sets. */
  readonly metadata: boolean;
}

const connection = (check: ValueCheck): ConditionKey => key(check, false, false);
const peer = (check: ValueCheck): ConditionKey => key(check, false, true);
const token = key(textFault, true, true);
const header = key(textFault, true, false);
const metadata: ConditionKey = { ...connection(textFault), metadata: true };

const KEYS: ReadonlyMap<string, ConditionKey> = new Map([
  ['source.ip', connection(ipBlockFault)],
  ['remote.ip', connection(ipBlockFault)],
  ['source.namespace', peer(textFault)],
  ['source.serviceAccount', peer(serviceAccountFault)],
  ['source.trustDomain', peer(trustDomainFault)],
  ['source.principal', peer(principalFault)],
  ['request.auth.principal', token],
  ['request.auth.audiences', token],
  ['request.auth.presenter', token],
  ['destination.ip', connection(ipBlockFault)],
  ['destination.port', connection(portFault)],
  ['connection.sni', connection(textFault)],
]);
/** Of Istio's first authorization API. */
const REMOVED = /^destination\.(?:labels|name|namespace|user|service)(?:\[|$)/;
const BRACKETED = ['request.headers[NAME]', 'request.auth.claims[NAME]'];
const METADATA_PREFIX = 'experimental.envoy.filters.';
/** RFC 9110 token, or a pseudo-header. */
const HEADER_NAME = /^:?[-!#$%&'*+.^_`|~0-9a-zA-Z]+$/;

/** The key's meaning, or what is wrong with it. */
export function parseConditionKey(text: string): ConditionKey | { readonly fault: ValueFault } {
  const known = KEYS.get(text);
  if (known !== undefined) return known;
  const { name, path } = splitConditionKey(text);
  const isMetadata = name.startsWith(METADATA_PREFIX);
  if (name !== 'request.headers' && name !== 'request.auth.claims' && !isMetadata)
    return { fault: unknown(text) };
  const [first = '', ...inner] = path ?? [];
  if ((first === '' && inner.length === 0) || name === METADATA_PREFIX) {
    return { fault: bad(text, 'has no name in brackets', `write ${shown(name)}[NAME]`) };
  }
  if (isMetadata) return metadata;
  if (name === 'request.headers') {
    if (inner.length === 0 && HEADER_NAME.test(first)) return header;
    return { fault: bad(text, 'does not name a header', 'write request.headers[NAME]') };
  }
  if (first === '' || inner.includes('')) {
    return { fault: bad(text, 'names an empty claim', 'write request.auth.claims[NAME][NAME]') };
  }
  return token;
}

function key(check: ValueCheck, httpOnly: boolean, authenticated: boolean): ConditionKey {
  return { check, httpOnly, authenticated, metadata: false };
}

function unknown(text: string): ValueFault {
  if (text === '') return { code: 'missing_field', message: 'the condition has no key', fix: 'write a key' };
  if (REMOVED.test(text)) {
    return bad(text, 'is a key that Istio no longer has', 'say whom the policy is for with selector');
  }
  const names = [...KEYS.keys(), ...BRACKETED];
  const nearest = nearestName(text, names);
  const fix = nearest === null ? `known are ${names.join(', ')}` : `did you mean "${nearest}"?`;
  return bad(text, 'is not a key that conditions can have', fix);
}
