/**
 * The kinds of Istio's API groups, and what this version does with each.
 */

export type KindUse = { readonly use: 'acted-on' } | { readonly use: 'ignored'; readonly effect: string };

const actedOn: KindUse = { use: 'acted-on' };
const ignored = (effect: string): KindUse => ({ use: 'ignored', effect });

/** Group → kind → use. */
export const ISTIO_KINDS: Readonly<Record<string, Readonly<Record<string, KindUse>>>> = {
  'security.istio.io': {
    PeerAuthentication: actedOn,
    AuthorizationPolicy: actedOn,
    RequestAuthentication: actedOn,
  },
  'networking.istio.io': {
    DestinationRule: actedOn,
    ServiceEntry: actedOn,
    Sidecar: actedOn,
    WorkloadEntry: actedOn,
    WorkloadGroup: ignored('workloads are not registered'),
    VirtualService: ignored('requests are not routed by it'),
    Gateway: ignored('this is no gateway'),
    EnvoyFilter: ignored('there is no Envoy to patch'),
    ProxyConfig: ignored('postern.yaml configures the proxy'),
  },
  'telemetry.istio.io': {
    Telemetry: ignored('metrics, traces and access logs stay as postern.yaml and MeshConfig say'),
  },
  'extensions.istio.io': {
    WasmPlugin: ignored('the plugin does not run'),
    TrafficExtension: ignored('the extension does not run'),
  },
};

/** Of any kind of these groups, all versions mean the same. */
export const ISTIO_VERSIONS: readonly string[] = ['v1', 'v1beta1', 'v1alpha3', 'v1alpha1'];

/** Kinds of Kubernetes itself that are read, by apiVersion without the version. */
export const KUBERNETES_KINDS: Readonly<Record<string, readonly string[]>> = {
  '': ['Service', 'Endpoints'],
  'discovery.k8s.io': ['EndpointSlice'],
};
