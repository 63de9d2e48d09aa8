/**
 * The mTLS mode of other workloads' ports, from their own labels and namespace.
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
  /** For every workload of the namespace. */
  readonly general: readonly PeerAuthentication[];
  /** The others by one pair of their selector. */
  readonly byPair: ReadonlyMap<string, readonly PeerAuthentication[]>;
  /** The labels that any selector of them looks at. */
  readonly keys: readonly string[];
  readonly modes: Map<string, EffectiveModes>;
}

const NO_LABELS: Readonly<Record<string, string>> = {};

export class EndpointModes {
  readonly #byNamespace = new Map<string, PeerAuthentication[]>();
  readonly #known = new Map<string, NamespacePolicies>();
  readonly #ages = new Map<PeerAuthentication, number>();
  readonly #rootNamespace: string;

  /** `policies` oldest first. */
  constructor(policies: readonly PeerAuthentication[], rootNamespace: string) {
    this.#rootNamespace = rootNamespace;
    for (const [age, policy] of policies.entries()) {
      this.#ages.set(policy, age);
      push(this.#byNamespace, policy.namespace, policy);
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
    const { general, byPair, keys, modes } = this.#policiesOf(namespace);
    const key = JSON.stringify(keys.map((name) => (Object.hasOwn(labels, name) ? labels[name] : null)));
    const known = modes.get(key);
    if (known !== undefined) return known;
    // Of several that select one workload the oldest wins, wherever they were found.
    const selecting = Object.entries(labels)
      .flatMap(([name, value]) => byPair.get(`${name}=${value}`) ?? [])
      .toSorted((a, b) => this.#ages.get(a)! - this.#ages.get(b)!);
    const workload = { namespace, serviceAccount: '', name: '', labels };
    const made = effectiveModes([...general, ...selecting], this.#rootNamespace, workload);
    modes.set(key, made);
    return made;
  }

  #policiesOf(namespace: string): NamespacePolicies {
    const known = this.#known.get(namespace);
    if (known !== undefined) return known;
    const own = this.#byNamespace.get(namespace) ?? [];
    const mesh = namespace === this.#rootNamespace ? [] : (this.#byNamespace.get(this.#rootNamespace) ?? []);
    const keys = new Set<string>();
    const byPair = new Map<string, PeerAuthentication[]>();
    // A selector in the root namespace selects nobody.
    const general = mesh.filter((policy) => policy.matchLabels === null);
    for (const policy of own) {
      const pairs = Object.entries(policy.matchLabels ?? {});
      if (pairs[0] === undefined) general.push(policy);
      else push(byPair, pairs[0].join('='), policy);
      for (const [name] of pairs) keys.add(name);
    }
    const made: NamespacePolicies = { general, byPair, keys: [...keys], modes: new Map() };
    this.#known.set(namespace, made);
    return made;
  }
}

function push(map: Map<string, PeerAuthentication[]>, key: string, policy: PeerAuthentication): void {
  const others = map.get(key);
  if (others === undefined) map.set(key, [policy]);
  else others.push(policy);
}
