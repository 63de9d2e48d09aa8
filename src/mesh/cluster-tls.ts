/**
 * Whether and how TLS is spoken to the endpoints of one service port: by DestinationRule, else auto mTLS.
 * (API: networking.istio.io ClientTLSSettings)
 */
import type { ClientTls, DestinationRule } from '../config/resources.ts';
import type { EndpointModes } from './endpoint-modes.ts';
import type { MeshPort, MeshService } from './mesh-services.ts';
import type { ClusterTls, ExternalClusterTls, IstioClusterTls } from './plan.ts';
import { nameOf } from './plan-warning.ts';
import type { Instance } from './service-endpoints.ts';
import type { WarningList } from './warning-list.ts';

export interface TlsInput {
  readonly service: MeshService;
  readonly port: MeshPort;
  readonly instances: readonly Instance[];
  readonly rule: DestinationRule | null;
  readonly enableAutoMtls: boolean;
  readonly modes: EndpointModes;
  /** Expected identities of the service, whatever the port. */
  readonly identities: readonly string[];
  readonly warnings: WarningList;
}

export interface DecidedTls {
  readonly tls: ClusterTls | null;
  readonly tlsFrom: string;
  /** For each instance, in order. */
  readonly marks: readonly boolean[];
}

export function decideTls(input: TlsInput): DecidedTls {
  const { rule, port } = input;
  const stated = rule === null ? null : tlsOf(rule, port.number);
  if (rule === null || stated === null) return decideAuto(input);
  const tlsFrom = nameOf(rule);
  if (stated.mode === 'DISABLE') return none(input, tlsFrom);
  const marks = input.instances.map(() => true);
  if (stated.mode !== 'ISTIO_MUTUAL') return { tls: externalTls(input, stated), tlsFrom, marks };
  warnOfMissingSidecars(input, rule);
  return { tls: istioTls(input, stated), tlsFrom, marks };
}

/** An entry for the port replaces the whole policy: one that says nothing of TLS means auto mTLS again. */
function tlsOf({ trafficPolicy }: DestinationRule, port: number): ClientTls | null {
  if (trafficPolicy === null) return null;
  const ofPort = trafficPolicy.ports.get(port);
  return ofPort === undefined ? trafficPolicy.tls : ofPort.tls;
}

function decideAuto(input: TlsInput): DecidedTls {
  const { service, instances, modes } = input;
  if (!input.enableAutoMtls) return none(input, 'auto mTLS is off');
  if (service.external) return none(input, 'MESH_EXTERNAL');
  const ofNamespace = modes.ofNamespace(service.namespace);
  if (ofNamespace.mode === 'DISABLE') return none(input, ofNamespace.modeFrom);
  const tlsFrom = 'auto mTLS';
  // Nobody knows which one the client will choose: mTLS only if it is right for all of them.
  if (service.discovery === 'original-destination') {
    if (instances.length === 0 || instances.some(({ hasSidecar }) => !hasSidecar))
      return none(input, tlsFrom);
    return { tls: istioTls(input, null), tlsFrom, marks: instances.map(() => true) };
  }
  const marks = instances.map(
    ({ hasSidecar, labels, port }) =>
      hasSidecar && modes.of(service.namespace, labels, port).mode !== 'DISABLE',
  );
  return { tls: marks.includes(true) ? istioTls(input, null) : null, tlsFrom, marks };
}

function none({ instances }: TlsInput, tlsFrom: string): DecidedTls {
  return { tls: null, tlsFrom, marks: instances.map(() => false) };
}

function istioTls({ service, port, identities }: TlsInput, stated: ClientTls | null): IstioClusterTls {
  const ownSni = stated?.sni ?? '';
  return {
    kind: 'istio',
    sni: ownSni === '' ? `outbound_.${port.number}_._.${service.host}` : ownSni,
    subjectAltNames: [...(statedNames(stated) ?? identities)],
  };
}

function externalTls({ service }: TlsInput, stated: ClientTls): ExternalClusterTls {
  const names = statedNames(stated);
  const { resource } = service;
  const ofEntry = resource.kind === 'ServiceEntry' ? resource.subjectAltNames : [];
  const isMutual = stated.mode === 'MUTUAL';
  const expectsName = stated.sni === '' && names === null;
  return {
    kind: 'external',
    sni: stated.sni,
    subjectAltNames: stated.insecureSkipVerify ? [] : [...(names ?? ofEntry)],
    verify: stated.insecureSkipVerify ? 'none' : expectsName ? 'name' : 'chain',
    caCertificates: stated.caCertificates,
    clientCertificate: isMutual ? stated.clientCertificate : '',
    privateKey: isMutual ? stated.privateKey : '',
  };
}

/** An empty list states nothing, as protobuf reads it: else it would turn the check of identities off. */
function statedNames(stated: ClientTls | null): readonly string[] | null {
  const names = stated?.subjectAltNames ?? null;
  return names === null || names.length === 0 ? null : names;
}

function warnOfMissingSidecars({ service, instances, warnings }: TlsInput, rule: DestinationRule): void {
  const bare = instances.find(({ hasSidecar }) => !hasSidecar);
  if (bare === undefined) return;
  warnings.add(
    'no_sidecar',
    rule,
    'spec.trafficPolicy',
    `${nameOf(rule)} wants ISTIO_MUTUAL with every endpoint of "${service.host}", and ${bare.host} states no ` +
      'sidecar: the handshake with it fails unless it has one',
    'label its WorkloadEntry security.istio.io/tlsMode: istio, state its serviceAccount, or leave tls out of the ' +
      'rule so that auto mTLS decides for each endpoint',
  );
}
