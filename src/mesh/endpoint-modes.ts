/**
 * The mTLS mode of other workloads' ports, from their own labels and namespace (semantics 4.2).
 *
 * Endpoints that no selector tells apart share one answer: the cost grows with the endpoints, not with their
 * number times the policies.
 */
import type { PeerAuthentication } from '../config/resources.ts';
import {
  type EffectiveMode,
  type EffectiveModes,
  effectiveModes,
  modeOfPort,
} from './peer-authentication.ts';

interface NamespacePolicies {
  readonly policies: readonly PeerAuthentication[];
  /** The labels that any selector of them looks at. */
  readonly keys: readonly string[];
  readonly modes: Map<string, EffectiveModes>;
}

const NO_LABELS: Readonly<Record<string, string>> = {};

export class EndpointModes {
  readonly #byNamespace = new Map<string, PeerAuthentication[]>();
  readonly #known = new Map<string, NamespacePolicies>();
  readonly #rootNamespace: string;

  /** `policies` oldest first. */
  constructor(policies: readonly PeerAuthentication[], rootNamespace: string) {
    this.#rootNamespace = rootNamespace;
    for (const policy of policies) {
      const others = this.#byNamespace.get(policy.namespace);
      if (others === undefined) this.#byNamespace.set(policy.namespace, [policy]);
      else others.push(policy);
    }
  }

  /** What namespace and mesh say, no workload's own policy regarded. */
  ofNamespace(namespace: string): EffectiveMode {
    return this.#modes(namespace, NO_LABELS).workload;
  }

  /** `port` is the endpoint's own, never the service's. */
  of(namespace: string, labels: Readonly<Record<string, string>>, port: number): EffectiveMode {
    return modeOfPort(this.#modes(namespace, labels), port);
  }

  #modes(namespace: string, labels: Readonly<Record<string, string>>): EffectiveModes {
    const { policies, keys, modes } = this.#policiesOf(namespace);
    const key = JSON.stringify(keys.map((name) => (Object.hasOwn(labels, name) ? labels[name] : null)));
    const known = modes.get(key);
    if (known !== undefined) return known;
    const made = effectiveModes(policies, this.#rootNamespace, {
      namespace,
      serviceAccount: '',
      name: '',
      labels,
    });
    modes.set(key, made);
    return made;
  }

  #policiesOf(namespace: string): NamespacePolicies {
    const known = this.#known.get(namespace);
    if (known !== undefined) return known;
    const own = this.#byNamespace.get(namespace) ?? [];
    const mesh = namespace === this.#rootNamespace ? [] : (this.#byNamespace.get(this.#rootNamespace) ?? []);
    const keys = new Set(own.flatMap((policy) => Object.keys(policy.matchLabels ?? {})));
    const made: NamespacePolicies = {
      // A selector in the root namespace selects nobody.
      policies: [...mesh.filter((policy) => policy.matchLabels === null), ...own],
      keys: [...keys],
      modes: new Map(),
    };
    this.#known.set(namespace, made);
    return made;
  }
}
