/**
 * Which DestinationRule speaks for a service, seen from one workload: the client's namespace, then the service's,
 * then the root namespace; in each the most specific host; of one host the oldest.
 * (API: networking.istio.io DestinationRule)
 */
import type { DestinationRule } from '../config/resources.ts';
import { expandRuleHost, holdsHost, isWildcard } from './host-names.ts';
import { matchLabels } from './match-labels.ts';
import type { WorkloadIdentity } from './plan.ts';
import { nameOf } from './plan-warning.ts';
import { isPrivate, isVisible } from './visibility.ts';
import type { WarningList } from './warning-list.ts';

interface RulesByHost {
  readonly exact: ReadonlyMap<string, DestinationRule>;
  /** Longest pattern first. */
  readonly wildcards: readonly (readonly [string, DestinationRule])[];
}

export class DestinationRules {
  readonly #byNamespace = new Map<string, DestinationRule[]>();
  readonly #exported = new Map<string, RulesByHost>();
  readonly #own: RulesByHost;
  readonly #client: WorkloadIdentity;
  readonly #rootNamespace: string;
  readonly #warnings: WarningList;

  /** `rules` oldest first. */
  constructor(
    rules: readonly DestinationRule[],
    client: WorkloadIdentity,
    rootNamespace: string,
    warnings: WarningList,
  ) {
    this.#client = client;
    this.#rootNamespace = rootNamespace;
    this.#warnings = warnings;
    for (const rule of rules) {
      const others = this.#byNamespace.get(rule.namespace);
      if (others === undefined) this.#byNamespace.set(rule.namespace, [rule]);
      else others.push(rule);
    }
    this.#own = this.#byHost(this.#ownRules());
  }

  /** `namespace` is the service's. */
  ruleFor(host: string, namespace: string): DestinationRule | null {
    return (
      find(this.#own, host) ??
      find(this.#exportedBy(namespace), host) ??
      find(this.#exportedBy(this.#rootNamespace), host)
    );
  }

  /** Says which rules name a host that nothing has; those that this workload could ever follow. */
  warnOfUnknownHosts(hosts: ReadonlySet<string>): void {
    for (const namespace of new Set([this.#client.namespace, this.#rootNamespace])) {
      for (const rule of this.#byNamespace.get(namespace) ?? []) {
        const host = expandRuleHost(rule.host, namespace);
        if (isWildcard(host) || hosts.has(host)) continue;
        const isShort = host.endsWith('.svc.cluster.local') && rule.host !== host;
        this.#warnings.add(
          'unknown_host',
          rule,
          'spec.host',
          `${nameOf(rule)} is for host "${rule.host}"${isShort ? ` ("${host}")` : ''}, which no Service or ` +
            'ServiceEntry has: it has no effect',
          'write the full name of a service, like httpbin.foo.svc.cluster.local',
        );
      }
    }
  }

  /** Rules for some workloads only come first. */
  #ownRules(): readonly DestinationRule[] {
    const { namespace, labels } = this.#client;
    const rules = (this.#byNamespace.get(namespace) ?? []).filter((rule) =>
      // Rules of the root namespace are everybody's last resort; its own clients have the private ones first.
      namespace === this.#rootNamespace
        ? isPrivate(rule.exportTo, namespace)
        : isVisible(rule.exportTo, namespace, namespace),
    );
    const selecting = rules.filter(
      ({ workloadSelector }) => workloadSelector !== null && matchLabels(workloadSelector, labels),
    );
    return [...selecting, ...rules.filter((rule) => rule.workloadSelector === null)];
  }

  #exportedBy(namespace: string): RulesByHost {
    const known = this.#exported.get(namespace);
    if (known !== undefined) return known;
    const { namespace: client } = this.#client;
    const rules = (this.#byNamespace.get(namespace) ?? []).filter(
      (rule) =>
        rule.workloadSelector === null &&
        isVisible(rule.exportTo, namespace, client) &&
        !isPrivate(rule.exportTo, namespace),
    );
    const made = this.#byHost(rules);
    this.#exported.set(namespace, made);
    return made;
  }

  #byHost(rules: readonly DestinationRule[]): RulesByHost {
    const byHost = new Map<string, DestinationRule>();
    for (const rule of rules) {
      const host = expandRuleHost(rule.host, rule.namespace);
      const first = byHost.get(host);
      // Istio merges rules of one host: what the older leaves out, a younger may say.
      if (first === undefined || first.trafficPolicy === null) byHost.set(host, rule);
      else if (rule.trafficPolicy !== null) this.#warnOfSecond(rule, first, host);
    }
    const entries = [...byHost];
    return {
      exact: new Map(entries.filter(([host]) => !isWildcard(host))),
      wildcards: entries.filter(([host]) => isWildcard(host)).toSorted(([a], [b]) => b.length - a.length),
    };
  }

  #warnOfSecond(rule: DestinationRule, first: DestinationRule, host: string): void {
    // A rule for some workloads beside one for all is how exceptions are written.
    if (first.workloadSelector !== null && rule.workloadSelector === null) return;
    this.#warnings.add(
      'shadowed',
      rule,
      'spec.host',
      `${nameOf(rule)} has no effect: ${nameOf(first)} is older and has a trafficPolicy for host "${host}"`,
      'merge the two into one',
    );
  }
}

function find(rules: RulesByHost, host: string): DestinationRule | null {
  const exact = rules.exact.get(host);
  if (exact !== undefined) return exact;
  return rules.wildcards.find(([pattern]) => holdsHost(pattern, host))?.[1] ?? null;
}
