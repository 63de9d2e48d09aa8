/**
 * Values of AuthorizationPolicy fields as Envoy RBAC permissions and principals, by field (Istio's authz generators).
 *
 * A value that cannot be written is null. Claims and paths in metadata are those that jwt_authn writes: only of a
 * token that verified.
 */
import { isIP } from 'node:net';
import type { EnvoyMessage } from './envoy-message.ts';
import { pathPermission } from './path-permission.ts';
import { headerMatcher, quoted, regexMatcher, spiffeMatcher, stringMatcher } from './string-matchers.ts';

export type EachValue = (values: readonly string[]) => readonly (EnvoyMessage | null)[];

const JWT_FILTER = 'envoy.filters.http.jwt_authn';
/** Where jwt_authn puts the payload: `payloadInMetadata` of every provider. */
const PAYLOAD = 'payload';
const ANY_TEXT = regexMatcher('.+');
const MAX_PORT = 65_535;

export const hosts: EachValue = (values) =>
  values.map((value) => ({ header: headerMatcher(':authority', value, true) }));

export const methods: EachValue = (values) =>
  values.map((value) => ({ header: headerMatcher(':method', value) }));

export const paths: EachValue = (values) => values.map(pathPermission);

export const ports: EachValue = (values) =>
  values.map((value) => {
    const port = /^[0-9]+$/.test(value) ? Number(value) : Number.NaN;
    return port <= MAX_PORT ? { destinationPort: port } : null;
  });

export const destinationIps: EachValue = (values) => blocks('destinationIp', values);

export const serverNames: EachValue = (values) =>
  values.map((value) => ({ requestedServerName: stringMatcher(value) }));

export const principals: EachValue = (values) => values.map((value) => authenticated(spiffeMatcher(value)));

/** A star is allowed anywhere. */
export const namespaces: EachValue = (values) =>
  values.map((value) => {
    const name = value.split('*').map(quoted).join('.*');
    return authenticated(regexMatcher(`.*/ns/${name}/.*`));
  });

export const trustDomains: EachValue = (values) =>
  values.map((value) => {
    if (value === '*') return authenticated({ prefix: 'spiffe://' });
    if (!value.includes('*')) return authenticated({ prefix: `spiffe://${value}/` });
    const name = value.split('*').map(quoted).join('[^/]*');
    return authenticated(regexMatcher(`spiffe://${name}/.*`));
  });

export const directIps: EachValue = (values) => blocks('directRemoteIp', values);

export const remoteIps: EachValue = (values) => blocks('remoteIp', values);

/** `NS/SA`, or `SA` of the policy's own namespace. */
export function serviceAccounts(namespace: string): EachValue {
  return (values) =>
    values.map((value) => {
      const slash = value.indexOf('/');
      const ns = quoted(slash === -1 ? namespace : value.slice(0, slash));
      const sa = quoted(value.slice(slash + 1));
      return authenticated(regexMatcher(`spiffe://.+/ns/${ns}/(.+/|)sa/${sa}(/.+)?`));
    });
}

/** `ISS/SUB`, split at the last slash since an issuer may be a URL. */
export const requestPrincipals: EachValue = (values) =>
  values.map((value) => {
    const [issuer, subject] = issuerAndSubject(value);
    return {
      andIds: {
        ids: [claimIs(['iss'], { stringMatch: issuer }), claimIs(['sub'], { stringMatch: subject })],
      },
    };
  });

/** A claim that is such a text, or a list with such a text in it. */
export function claims(path: readonly string[]): EachValue {
  return (values) => {
    if (values.length === 0) return [];
    const value = anyOf(values.map((one) => ({ stringMatch: stringMatcher(one) })));
    return [claimIs(path, { orMatch: { valueMatchers: [{ listMatch: { oneOf: value } }, value] } })];
  };
}

export function headers(name: string): EachValue {
  return (values) => values.map((value) => ({ header: headerMatcher(name, value) }));
}

/** Dynamic metadata; `[v]` is a list with v in it. */
export function metadata(filter: string, key: string): EachValue {
  return (values) => {
    if (values.length === 0) return [];
    const matchers = values.map((value) =>
      value.startsWith('[') && value.endsWith(']')
        ? { listMatch: { oneOf: { stringMatch: stringMatcher(value.replaceAll(/^[[\]]+|[[\]]+$/g, '')) } } }
        : { stringMatch: stringMatcher(value) },
    );
    return [{ metadata: { filter, path: [{ key }], value: anyOf(matchers) } }];
  };
}

function authenticated(principalName: EnvoyMessage): EnvoyMessage {
  return { authenticated: { principalName } };
}

function blocks(field: string, values: readonly string[]): (EnvoyMessage | null)[] {
  return values.map((value) => {
    const [addressPrefix = '', length] = value.split('/');
    const bits = { 0: -1, 4: 32, 6: 128 }[isIP(addressPrefix)] ?? -1;
    const prefixLen = length === undefined ? bits : Number(length);
    if (bits === -1 || !/^[0-9]+$/.test(length ?? '0') || prefixLen > bits) return null;
    return { [field]: { addressPrefix, prefixLen } };
  });
}

function issuerAndSubject(value: string): [issuer: EnvoyMessage, subject: EnvoyMessage] {
  const slash = value.lastIndexOf('/');
  const issuer = slash === -1 ? value : value.slice(0, slash);
  const subject = slash === -1 ? '' : value.slice(slash + 1);
  if (value === '*') return [ANY_TEXT, ANY_TEXT];
  if (value.startsWith('*')) {
    if (slash === -1) return [ANY_TEXT, { suffix: value.slice(1) }];
    return [issuer === '*' ? ANY_TEXT : { suffix: issuer.slice(1) }, { exact: subject }];
  }
  if (value.endsWith('*')) {
    if (slash === -1) return [{ prefix: value.slice(0, -1) }, ANY_TEXT];
    return [{ exact: issuer }, subject === '*' ? ANY_TEXT : { prefix: subject.slice(0, -1) }];
  }
  return [{ exact: issuer }, { exact: subject }];
}

function claimIs(path: readonly string[], value: EnvoyMessage): EnvoyMessage {
  return { metadata: { filter: JWT_FILTER, path: [PAYLOAD, ...path].map((key) => ({ key })), value } };
}

function anyOf(matchers: readonly EnvoyMessage[]): EnvoyMessage {
  const [only] = matchers;
  return matchers.length === 1 && only !== undefined ? only : { orMatch: { valueMatchers: matchers } };
}
