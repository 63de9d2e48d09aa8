/**
 * MeshConfig: the mesh-wide settings, whatever document they are wrapped in.
 */
import { checkApiFields } from './check-api-fields.ts';
import { parseDuration } from './duration.ts';
import { offsetOfPath } from './field-reader.ts';
import type { FieldReader } from './field-reader.ts';
import { applyFieldUse, applyFieldUses, ignored } from './field-use.ts';
import { isTrustDomain, TRUST_DOMAIN_FIX } from './istio-names.ts';
import { MESH_CONFIG_FIELDS, OTHER_PROXY_FIELDS, PROXY_CONFIG_FIELDS } from './mesh-config-fields.ts';
import { readExtAuthzProviders } from './read-ext-authz-providers.ts';
import type { MeshConfig, OutboundTrafficMode } from './resources.ts';
import { shown } from './yaml-tree.ts';

const NORMALIZATIONS = ['DEFAULT', 'NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES'] as const;
const TLS_VERSIONS = ['TLS_AUTO', 'TLSV1_2', 'TLSV1_3'] as const;

/** Istio's defaults, in force when no document holds a MeshConfig. */
export const DEFAULT_MESH_CONFIG: MeshConfig = {
  trustDomain: 'cluster.local',
  trustDomainAliases: [],
  rootNamespace: 'istio-system',
  protocolDetectionTimeoutMs: 0,
  pathNormalization: 'DEFAULT',
  accessLogFile: '',
  accessLogEncoding: 'TEXT',
  accessLogFormat: '',
  outboundTrafficPolicy: 'ALLOW_ANY',
  enableAutoMtls: true,
  extAuthzProviders: [],
  position: null,
  positionOf: () => null,
};

export function readMeshConfig(mesh: FieldReader): MeshConfig {
  checkApiFields(mesh, 'MeshConfig');
  applyFieldUses(mesh, MESH_CONFIG_FIELDS);
  checkTls(mesh, 'meshMTLS');
  checkTls(mesh, 'tlsDefaults');
  checkCompliance(mesh);
  checkExports(mesh);
  checkProxyConfig(mesh);
  const root = mesh.map;
  const { source } = mesh;
  const position = mesh.position;
  return {
    trustDomain: readTrustDomain(mesh) ?? DEFAULT_MESH_CONFIG.trustDomain,
    trustDomainAliases: readAliases(mesh),
    rootNamespace: nonEmpty(mesh.text('rootNamespace')) ?? DEFAULT_MESH_CONFIG.rootNamespace,
    protocolDetectionTimeoutMs: readDetectionTimeout(mesh),
    pathNormalization: mesh.object('pathNormalization')?.oneOf('normalization', NORMALIZATIONS) ?? 'DEFAULT',
    accessLogFile: mesh.text('accessLogFile') ?? '',
    accessLogEncoding: mesh.oneOf('accessLogEncoding', ['TEXT', 'JSON']) ?? 'TEXT',
    accessLogFormat: mesh.text('accessLogFormat') ?? '',
    outboundTrafficPolicy: readOutboundMode(mesh) ?? DEFAULT_MESH_CONFIG.outboundTrafficPolicy,
    enableAutoMtls: mesh.boolean('enableAutoMtls') ?? DEFAULT_MESH_CONFIG.enableAutoMtls,
    extAuthzProviders: readExtAuthzProviders(mesh),
    position,
    positionOf: (path) => source.at(offsetOfPath(root, path)),
  };
}

/** TLS is 1.2 to 1.3 with Istio's suites: whatever asks for less than that is refused. */
function checkTls(mesh: FieldReader, field: 'meshMTLS' | 'tlsDefaults'): void {
  const tls = mesh.object(field);
  if (tls?.oneOf('minProtocolVersion', TLS_VERSIONS) === 'TLSV1_3') {
    const message = 'this version accepts TLS 1.2 as well';
    tls.reportValue('minProtocolVersion', 'not_enforced', message, 'write TLSV1_2 or remove it');
  }
  for (const name of ['cipherSuites', 'ecdhCurves']) {
    if (tls?.list(name)?.length) {
      tls.report(name, 'not_enforced', `this version uses its own ${name}`, `remove ${name}`);
    }
  }
}

function checkCompliance(mesh: FieldReader): void {
  const policy = nonEmpty(mesh.text('compliancePolicy'));
  if (policy === null) return;
  const message = `this version does not enforce the compliance policy "${shown(policy)}"`;
  mesh.reportValue('compliancePolicy', 'not_enforced', message, 'remove it');
}

/** Of MeshConfig and of Sidecar; null when nothing is said. The API's zero value, for `{}`, is REGISTRY_ONLY. */
export function readOutboundMode(reader: FieldReader): OutboundTrafficMode | null {
  const policy = reader.object('outboundTrafficPolicy');
  if (policy === null) return null;
  return policy.oneOf('mode', ['REGISTRY_ONLY', 'ALLOW_ANY']) ?? 'REGISTRY_ONLY';
}

function checkExports(mesh: FieldReader): void {
  for (const name of [
    'defaultServiceExportTo',
    'defaultVirtualServiceExportTo',
    'defaultDestinationRuleExportTo',
  ]) {
    const namespaces = mesh.texts(name);
    if (namespaces.length > 0 && !(namespaces.length === 1 && namespaces[0] === '*')) {
      const message = `${name} would hide resources, and this version reads all of them`;
      mesh.report(name, 'not_enforced', message, 'write ["*"] or remove it');
    }
  }
}

function checkProxyConfig(mesh: FieldReader): void {
  const proxy = mesh.object('defaultConfig');
  if (proxy === null) return;
  for (const name of proxy.names()) {
    if (!proxy.has(name)) continue;
    applyFieldUse(
      proxy,
      name,
      (Object.hasOwn(PROXY_CONFIG_FIELDS, name) ? PROXY_CONFIG_FIELDS[name] : undefined) ??
        OTHER_PROXY_FIELDS,
    );
  }
  const headers = proxy.object('proxyHeaders');
  if (headers === null) return;
  for (const name of headers.names()) {
    if (!headers.has(name)) continue;
    if (name !== 'forwardedClientCert') {
      applyFieldUse(headers, name, ignored('headers are set as Istio does by default'));
      continue;
    }
    const mode = headers.text(name);
    if (mode !== null && mode !== 'APPEND_FORWARD' && mode !== 'UNDEFINED') {
      const message = `x-forwarded-client-cert is treated as APPEND_FORWARD, not as "${shown(mode)}"`;
      headers.reportValue(name, 'not_enforced', message, 'write APPEND_FORWARD or remove it');
    }
  }
}

function readTrustDomain(mesh: FieldReader): string | null {
  const domain = nonEmpty(mesh.text('trustDomain'));
  if (domain === null || isTrustDomain(domain)) return domain;
  mesh.reportValue('trustDomain', 'bad_value', badTrustDomain(domain), TRUST_DOMAIN_FIX);
  return null;
}

function readAliases(mesh: FieldReader): string[] {
  const aliases = mesh.texts('trustDomainAliases');
  for (const [index, alias] of aliases.entries()) {
    const item = mesh.list('trustDomainAliases')?.[index];
    if (item === undefined || isTrustDomain(alias)) continue;
    mesh.reportAt(
      item,
      `${mesh.pathOf('trustDomainAliases')}[${index}]`,
      'bad_value',
      badTrustDomain(alias),
      TRUST_DOMAIN_FIX,
    );
  }
  return aliases;
}

function badTrustDomain(domain: string): string {
  return `"${shown(domain)}" is not a trust domain`;
}

function readDetectionTimeout(mesh: FieldReader): number {
  const text = mesh.text('protocolDetectionTimeout');
  if (text === null) return 0;
  const timeoutMs = parseDuration(text);
  if (timeoutMs !== null) return timeoutMs;
  const message = `"${shown(text)}" is not a duration`;
  mesh.reportValue('protocolDetectionTimeout', 'bad_value', message, 'write it as "5s", "0s" for never');
  return 0;
}

function nonEmpty(text: string | null): string | null {
  return text === '' ? null : text;
}
