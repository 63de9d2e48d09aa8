/**
 * The fields that Istio's API has, by message: what a document may say at all.
 *
 * One line a message. `name` is a scalar, `name[]` a list, `name{}` a mapping with free keys; `=Message` says
 * what is inside, `=*` that the inside is not checked. Names are those of the JSON form.
 */
const MESSAGES: Readonly<Record<string, string>> = {
  // security
  PeerAuthentication: 'selector=Selector mtls=MutualTls portLevelMtls{}=MutualTls',
  MutualTls: 'mode',
  Selector: 'matchLabels{}',
  TargetRef: 'group kind name namespace',
  RequestAuthentication: 'selector=Selector targetRef=TargetRef targetRefs[]=TargetRef jwtRules[]=JwtRule',
  JwtRule:
    'issuer audiences[] jwksUri jwks_uri jwks fromHeaders[]=JwtHeader fromParams[] fromCookies[] outputPayloadToHeader forwardOriginalToken outputClaimToHeaders[]=ClaimToHeader timeout spaceDelimitedClaims[]',
  JwtHeader: 'name prefix',
  ClaimToHeader: 'header claim',
  AuthorizationPolicy:
    'selector=Selector targetRef=TargetRef targetRefs[]=TargetRef rules[]=Rule action provider=ProviderRef',
  ProviderRef: 'name',
  Rule: 'from[]=RuleFrom to[]=RuleTo when[]=Condition',
  RuleFrom: 'source=Source',
  RuleTo: 'operation=Operation',
  Source:
    'principals[] notPrincipals[] requestPrincipals[] notRequestPrincipals[] namespaces[] notNamespaces[] serviceAccounts[] notServiceAccounts[] trustDomains[] notTrustDomains[] ipBlocks[] notIpBlocks[] remoteIpBlocks[] notRemoteIpBlocks[]',
  Operation: 'hosts[] notHosts[] ports[] notPorts[] methods[] notMethods[] paths[] notPaths[]',
  Condition: 'key values[] notValues[]',

  // networking: what the sidecar is told of services
  DestinationRule: 'host trafficPolicy=TrafficPolicy subsets[]=Subset exportTo[] workloadSelector=Selector',
  TrafficPolicy:
    'loadBalancer=LoadBalancer connectionPool=ConnectionPool outlierDetection=OutlierDetection tls=ClientTls portLevelSettings[]=PortTrafficPolicy tunnel=Tunnel proxyProtocol=ProxyProtocol retryBudget=RetryBudget',
  PortTrafficPolicy:
    'port=PortNumber loadBalancer=LoadBalancer connectionPool=ConnectionPool outlierDetection=OutlierDetection tls=ClientTls',
  PortNumber: 'number',
  Subset: 'name labels{} trafficPolicy=TrafficPolicy',
  LoadBalancer:
    'simple consistentHash=ConsistentHash localityLbSetting=LocalityLb warmupDurationSecs warmup=Warmup',
  ConsistentHash:
    'httpHeaderName httpCookie=HashCookie useSourceIp httpQueryParameterName ringHash=RingHash maglev=Maglev minimumRingSize',
  HashCookie: 'name path ttl attributes[]=NameValue',
  NameValue: 'name value',
  RingHash: 'minimumRingSize',
  Maglev: 'tableSize',
  Warmup: 'duration minimumPercent aggression',
  LocalityLb: 'distribute[]=LocalityDistribute failover[]=LocalityFailover failoverPriority[] enabled',
  LocalityDistribute: 'from to{}',
  LocalityFailover: 'from to',
  ConnectionPool: 'tcp=TcpSettings http=HttpSettings',
  TcpSettings: 'maxConnections connectTimeout tcpKeepalive=TcpKeepalive maxConnectionDuration idleTimeout',
  TcpKeepalive: 'probes time interval',
  HttpSettings:
    'http1MaxPendingRequests http2MaxRequests maxRequestsPerConnection maxRetries idleTimeout h2UpgradePolicy useClientProtocol maxConcurrentStreams',
  OutlierDetection:
    'consecutiveErrors splitExternalLocalOriginErrors consecutiveLocalOriginFailures consecutiveGatewayErrors consecutive5xxErrors interval baseEjectionTime maxEjectionPercent minHealthPercent',
  ClientTls:
    'mode clientCertificate privateKey caCertificates credentialName subjectAltNames[] sni insecureSkipVerify caCrl',
  Tunnel: 'protocol targetHost targetPort',
  ProxyProtocol: 'version',
  RetryBudget: 'percent minRetryConcurrency',
  ServiceEntry:
    'hosts[] addresses[] ports[]=NumberedPort location resolution endpoints[]=WorkloadEntry workloadSelector=LabelSelector exportTo[] subjectAltNames[]',
  NumberedPort: 'number protocol name targetPort',
  LabelSelector: 'labels{}',
  WorkloadEntry: 'address ports{} labels{} network locality weight serviceAccount',
  WorkloadGroup: 'metadata=GroupMetadata template=WorkloadEntry probe=Probe',
  GroupMetadata: 'labels{} annotations{}',
  Probe:
    'initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold httpGet=* tcpSocket=* exec=* grpc=*',
  Sidecar:
    'workloadSelector=LabelSelector ingress[]=SidecarIngress egress[]=SidecarEgress outboundTrafficPolicy=OutboundTrafficPolicy inboundConnectionPool=ConnectionPool',
  SidecarPort: 'number protocol name targetPort',
  SidecarIngress:
    'port=SidecarPort bind captureMode defaultEndpoint tls=ServerTls connectionPool=ConnectionPool',
  SidecarEgress: 'port=SidecarPort bind captureMode hosts[]',
  OutboundTrafficPolicy: 'mode egressProxy=Destination',
  Destination: 'host subset port=PortNumber',
  ServerTls:
    'httpsRedirect mode serverCertificate privateKey caCertificates caCrl credentialName credentialNames[] tlsCertificates[]=* subjectAltNames[] verifyCertificateSpki[] verifyCertificateHash[] minProtocolVersion maxProtocolVersion cipherSuites[] caCertCredentialName',
  Gateway: 'servers[]=GatewayServer selector{}',
  GatewayServer: 'port=NumberedPort bind hosts[] tls=ServerTls defaultEndpoint name',
  VirtualService: 'hosts[] gateways[] http[]=HttpRoute tls[]=TlsRoute tcp[]=TcpRoute exportTo[]',
  HttpRoute:
    'name match[]=HttpMatch route[]=HttpRouteDestination redirect=* directResponse=* delegate=* rewrite=* timeout retries=HttpRetry fault=* mirror=Destination mirrors[]=* mirrorPercent mirror_percent mirrorPercentage=* corsPolicy=* headers=*',
  HttpMatch:
    'name uri=* scheme=* method=* authority=* headers{}=* port sourceLabels{} gateways[] queryParams{}=* ignoreUriCase withoutHeaders{}=* sourceNamespace statPrefix',
  HttpRouteDestination: 'destination=Destination weight headers=*',
  HttpRetry: 'attempts perTryTimeout retryOn retryRemoteLocalities retryIgnorePreviousHosts backoff',
  TlsRoute: 'match[]=TlsMatch route[]=RouteDestination',
  TlsMatch: 'sniHosts[] destinationSubnets[] port sourceLabels{} gateways[] sourceNamespace',
  TcpRoute: 'match[]=TcpMatch route[]=RouteDestination',
  TcpMatch: 'destinationSubnets[] port sourceLabels{} gateways[] sourceSubnet sourceNamespace',
  RouteDestination: 'destination=Destination weight',
  EnvoyFilter: 'workloadSelector=LabelSelector targetRefs[]=TargetRef configPatches[]=* priority',
  ProxyConfig: 'selector=Selector concurrency environmentVariables{} image=ProxyImage',
  ProxyImage: 'imageType',

  // telemetry, extensions
  Telemetry:
    'selector=Selector targetRef=TargetRef targetRefs[]=TargetRef tracing[]=* metrics[]=* accessLogging[]=*',
  WasmPlugin:
    'selector=Selector targetRef=TargetRef targetRefs[]=TargetRef url sha256 imagePullPolicy imagePullSecret verificationKey pluginConfig=* pluginName phase priority failStrategy vmConfig=* match[]=* type',

  // mesh
  MeshConfig:
    'proxyListenPort proxyInboundListenPort proxyHttpPort connectTimeout protocolDetectionTimeout tcpKeepalive=TcpKeepalive ingressClass ingressService ingressControllerMode ingressSelector enableTracing accessLogFile accessLogFormat accessLogEncoding enableEnvoyAccessLogService disableEnvoyListenerLog defaultConfig=MeshProxyConfig outboundTrafficPolicy=MeshOutboundTrafficPolicy inboundTrafficPolicy=InboundTrafficPolicy configSources[]=* enableAutoMtls trustDomain trustDomainAliases[] caCertificates[]=CertificateData defaultServiceExportTo[] defaultVirtualServiceExportTo[] defaultDestinationRuleExportTo[] rootNamespace localityLbSetting=LocalityLb dnsRefreshRate h2UpgradePolicy inboundClusterStatName outboundClusterStatName certificates[]=* serviceSettings[]=* enablePrometheusMerge verifyCertificateAtClient ca=* extensionProviders[]=ExtensionProvider defaultProviders=DefaultProviders discoverySelectors[]=* pathNormalization=PathNormalization defaultHttpRetryPolicy=HttpRetry meshMTLS=MeshTls tlsDefaults=MeshTls compliancePolicy serviceScopeConfigs[]=*',
  MeshProxyConfig:
    'configPath binaryPath serviceCluster clusterName=* drainDuration parentShutdownDuration discoveryAddress discoveryRefreshDelay zipkinAddress statsdUdpAddress envoyMetricsServiceAddress proxyAdminPort availabilityZone controlPlaneAuthPolicy customConfigFile statNameLength concurrency proxyBootstrapTemplatePath interceptionMode tracing=* sds=* envoyAccessLogService=* envoyMetricsService=* proxyMetadata{} runtimeValues{} statusPort extraStatTags[] gatewayTopology=* terminationDrainDuration meshId readinessProbe=Probe proxyStatsMatcher=* holdApplicationUntilProxyStarts caCertificatesPem[] image=ProxyImage privateKeyProvider=* proxyHeaders=* fileFlushInterval fileFlushMinSizeKb statsCompression',
  MeshOutboundTrafficPolicy: 'mode',
  InboundTrafficPolicy: 'mode',
  CertificateData: 'pem spiffeBundleUrl certSigners[] trustDomains[]',
  ExtensionProvider:
    'name envoyExtAuthzHttp=ExtAuthzHttp envoyExtAuthzGrpc=ExtAuthzGrpc zipkin=* lightstep=* datadog=* stackdriver=* opencensus=* skywalking=* opentelemetry=* prometheus=* envoyFileAccessLog=* envoyHttpAls=* envoyTcpAls=* envoyOtelAls=* sds=*',
  ExtAuthzHttp:
    'service port timeout pathPrefix failOpen statusOnError clearRouteCache includeHeadersInCheck[] includeRequestHeadersInCheck[] includeAdditionalHeadersInCheck{} includeRequestBodyInCheck=ExtAuthzBody headersToUpstreamOnAllow[] headersToDownstreamOnDeny[] headersToDownstreamOnAllow[]',
  ExtAuthzGrpc:
    'service port timeout failOpen statusOnError clearRouteCache includeRequestBodyInCheck=ExtAuthzBody',
  ExtAuthzBody: 'maxRequestBytes allowPartialMessage packAsBytes',
  DefaultProviders: 'tracing[] metrics[] accessLogging[]',
  PathNormalization: 'normalization',
  MeshTls: 'minProtocolVersion ecdhCurves[] cipherSuites[]',
};

export interface ApiField {
  readonly shape: 'one' | 'list' | 'map';
  /** A message of this table; '' for a scalar, '*' for anything. */
  readonly inside: string;
}

const parsed = new Map<string, ReadonlyMap<string, ApiField>>();

/** The fields of a message by name; null for a message that this table does not know. */
export function apiFields(message: string): ReadonlyMap<string, ApiField> | null {
  const known = parsed.get(message);
  if (known !== undefined) return known;
  const line = Object.hasOwn(MESSAGES, message) ? MESSAGES[message] : undefined;
  if (line === undefined) return null;
  const fields = new Map<string, ApiField>();
  for (const word of line.split(' ')) {
    const [declared = '', inside = ''] = word.split('=');
    if (declared.endsWith('[]')) fields.set(declared.slice(0, -2), { shape: 'list', inside });
    else if (declared.endsWith('{}')) fields.set(declared.slice(0, -2), { shape: 'map', inside });
    else fields.set(declared, { shape: 'one', inside });
  }
  parsed.set(message, fields);
  return fields;
}

/** Names of all messages, for tests. */
export function apiMessages(): readonly string[] {
  return Object.keys(MESSAGES);
}
