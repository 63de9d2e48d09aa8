/**
 * MeshConfig: the mesh-wide settings, whatever document they are wrapped in.
 */
import { checkApiFields } from './check-api-fields.ts';
import { parseDuration } from './duration.ts';
import { offsetOfPath } from './field-reader.ts';
import type { FieldReader } from './field-reader.ts';
import { MESH_CONFIG_FIELDS, OTHER_PROXY_FIELDS, PROXY_CONFIG_FIELDS } from './mesh-config-fields.ts';
import type { FieldUse } from './mesh-config-fields.ts';
import type { MeshConfig } from './resources.ts';
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
  position: null,
  positionOf: () => null,
};

export function readMeshConfig(mesh: FieldReader): MeshConfig {
  checkApiFields(mesh, 'MeshConfig');
  for (const name of mesh.names()) {
    if (mesh.has(name) && Object.hasOwn(MESH_CONFIG_FIELDS, name))
      applyUse(mesh, name, MESH_CONFIG_FIELDS[name]);
  }
  checkMeshTls(mesh);
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
    outboundTrafficPolicy: 'ALLOW_ANY',
    enableAutoMtls: true,
    position,
    positionOf: (path) => source.at(offsetOfPath(root, path)),
  };
}

function applyUse(reader: FieldReader, name: string, use: FieldUse | undefined): void {
  if (use === undefined || use.use === 'acted-on') return;
  if (use.use === 'ignored') {
    reader.report(
      name,
      'ignored_field',
      `${name} has no effect: ${use.effect}`,
      'remove it, or leave it',
      'warning',
    );
  } else {
    reader.report(name, 'not_enforced', `this version does not act on ${name}: ${use.reason}`, use.fix);
  }
}

/** Inbound mTLS is TLS 1.2 to 1.3 with Istio's suites: whatever asks for less than that is refused. */
function checkMeshTls(mesh: FieldReader): void {
  const tls = mesh.object('meshMTLS');
  if (tls?.oneOf('minProtocolVersion', TLS_VERSIONS) === 'TLSV1_3') {
    const message = 'this version accepts TLS 1.2 as well';
    tls.reportValue('minProtocolVersion', 'not_enforced', message, 'write TLSV1_2 or remove it');
  }
  for (const name of ['cipherSuites', 'ecdhCurves']) {
    if (tls?.list(name)?.length) {
      tls.report(name, 'not_enforced', `this version uses its own ${name}`, `remove ${name}`);
    }
  }
  const policy = nonEmpty(mesh.text('compliancePolicy'));
  if (policy !== null) {
    const message = `this version does not enforce the compliance policy "${shown(policy)}"`;
    mesh.reportValue('compliancePolicy', 'not_enforced', message, 'remove it');
  }
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
    applyUse(
      proxy,
      name,
      Object.hasOwn(PROXY_CONFIG_FIELDS, name) ? PROXY_CONFIG_FIELDS[name] : OTHER_PROXY_FIELDS,
    );
  }
  const headers = proxy.object('proxyHeaders');
  if (headers === null) return;
  for (const name of headers.names()) {
    if (!headers.has(name)) continue;
    if (name !== 'forwardedClientCert') {
      applyUse(headers, name, { use: 'ignored', effect: 'headers are set as Istio does by default' });
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

const TRUST_DOMAIN_FIX = 'use a-z, 0-9, ".", "-" and "_", at most 255 characters';

function badTrustDomain(domain: string): string {
  return `"${shown(domain)}" is not a trust domain`;
}

/** SPIFFE ID specification 2.1. */
function isTrustDomain(domain: string): boolean {
  return /^[a-z0-9._-]{1,255}$/.test(domain);
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
