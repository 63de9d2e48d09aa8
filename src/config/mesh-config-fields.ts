/**
 * What this version does with each field of Istio's MeshConfig.
 */
import type { FieldUse } from './field-use.ts';
import { actedOn, ignored, refused } from './field-use.ts';

const NO_INGRESS = 'there is no ingress controller';
const NO_TELEMETRY_EXPORT = 'nothing is sent to it';
const NO_ISTIOD = 'there is no istiod';

/** One entry for each field of the API: a test compares the two lists. */
export const MESH_CONFIG_FIELDS: Readonly<Record<string, FieldUse>> = {
  trustDomain: actedOn,
  trustDomainAliases: actedOn,
  rootNamespace: actedOn,
  protocolDetectionTimeout: actedOn,
  pathNormalization: actedOn,
  accessLogFile: actedOn,
  accessLogEncoding: actedOn,
  accessLogFormat: actedOn,
  outboundTrafficPolicy: actedOn,
  enableAutoMtls: actedOn,
  // Those of ext_authz; the others are noted where they are read.
  extensionProviders: actedOn,
  // Looked at below the top: some of their values are what this version does anyway.
  meshMTLS: actedOn,
  tlsDefaults: actedOn,
  defaultConfig: actedOn,
  compliancePolicy: actedOn,
  defaultServiceExportTo: actedOn,
  defaultVirtualServiceExportTo: actedOn,
  defaultDestinationRuleExportTo: actedOn,

  caCertificates: refused(
    'which roots are trusted for which trust domain would not be as written',
    'put the roots into the trust bundle and remove it',
  ),
  configSources: refused(
    'policies kept in other places would not be read',
    'list files and folders in config',
  ),

  proxyListenPort: ignored('intercept.port in postern.yaml is the port'),
  proxyInboundListenPort: ignored('intercept.inboundPort in postern.yaml is the port'),
  proxyHttpPort: ignored('no HTTP proxy port is opened'),
  connectTimeout: ignored('limits.connectTimeoutMs in postern.yaml is the timeout'),
  tcpKeepalive: ignored('TCP keepalive stays off'),
  ingressClass: ignored(NO_INGRESS),
  ingressService: ignored(NO_INGRESS),
  ingressControllerMode: ignored(NO_INGRESS),
  ingressSelector: ignored(NO_INGRESS),
  enableTracing: ignored('no trace spans are made'),
  enableEnvoyAccessLogService: ignored(NO_TELEMETRY_EXPORT),
  disableEnvoyListenerLog: ignored('refused connections are logged'),
  inboundTrafficPolicy: ignored('the app is reached at app.host of postern.yaml'),
  localityLbSetting: ignored('endpoints are chosen whatever their locality'),
  dnsRefreshRate: ignored('a name is resolved whenever it is connected to'),
  h2UpgradePolicy: ignored('requests go out as HTTP/1.1'),
  inboundClusterStatName: ignored('statistics keep their default names'),
  outboundClusterStatName: ignored('statistics keep their default names'),
  certificates: ignored(NO_ISTIOD),
  serviceSettings: ignored('there is one cluster'),
  serviceScopeConfigs: ignored('there is one cluster'),
  enablePrometheusMerge: ignored('metrics of the app are not merged'),
  verifyCertificateAtClient: ignored(
    'the certificate of a server is verified unless a DestinationRule says insecureSkipVerify',
  ),
  ca: ignored(NO_ISTIOD),
  defaultProviders: ignored('accessLogFile is the only access log'),
  discoverySelectors: ignored('every document that is listed is read'),
  defaultHttpRetryPolicy: ignored('a request is tried again as Istio does by default, at most twice'),
};

/** The same for MeshConfig.defaultConfig; a field without an entry has the effect that `OTHER_PROXY_FIELDS` says. */
export const PROXY_CONFIG_FIELDS: Readonly<Record<string, FieldUse>> = {
  proxyHeaders: actedOn,
  caCertificatesPem: refused(
    'which roots are trusted would not be as written',
    'put the roots into the trust bundle and remove it',
  ),
  customConfigFile: refused('the Envoy configuration that it names would have no effect', 'remove it'),
  concurrency: ignored('concurrency in postern.yaml decides'),
  terminationDrainDuration: ignored('drain in postern.yaml decides'),
  drainDuration: ignored('drain in postern.yaml decides'),
  proxyAdminPort: ignored('admin.port in postern.yaml is the port'),
  statusPort: ignored('readiness.port in postern.yaml is the port'),
  interceptionMode: ignored('connections are taken as redirected'),
  runtimeValues: ignored('there is no Envoy to take them'),
  proxyMetadata: ignored('agent.yaml and postern.yaml are what is read'),
  tracing: ignored('no trace spans are made'),
  gatewayTopology: ignored('it is for gateways only'),
};

export const OTHER_PROXY_FIELDS: FieldUse = ignored('it configures Envoy or the agent of Istio');
