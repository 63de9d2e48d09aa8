/**
 * `serviceAccounts` and `source.serviceAccount`: `spiffe://.+/ns/<ns>/(.+/|)sa/<sa>(/.+)?` over the whole identity,
 * with both names taken literally. `sa` alone is of the policy's namespace.
 */

const SCHEME = 'spiffe://';

export class ServiceAccountMatcher {
  /** `ns/sa`. */
  readonly account: string;
  readonly #namespaceStep: string;
  readonly #accountStep: string;

  constructor(value: string, policyNamespace: string) {
    const slash = value.indexOf('/');
    const namespace = slash === -1 ? policyNamespace : value.slice(0, slash);
    const serviceAccount = slash === -1 ? value : value.slice(slash + 1);
    this.account = `${namespace}/${serviceAccount}`;
    this.#namespaceStep = `/ns/${namespace}/`;
    this.#accountStep = `/sa/${serviceAccount}`;
  }

  matches(identity: string): boolean {
    if (!identity.startsWith(SCHEME) || identity.includes('\n')) return false;
    // The leftmost namespace step leaves most room for the rest, so no other has to be tried.
    const namespaceAt = identity.indexOf(this.#namespaceStep, SCHEME.length + 1);
    if (namespaceAt === -1) return false;
    const slashAt = namespaceAt + this.#namespaceStep.length - 1;
    if (this.#endsAt(identity, slashAt)) return true;
    let at = identity.indexOf(this.#accountStep, slashAt + 2);
    while (at !== -1) {
      if (this.#endsAt(identity, at)) return true;
      at = identity.indexOf(this.#accountStep, at + 1);
    }
    return false;
  }

  /** The account's step stands here, and its name ends there or goes on with another step. */
  #endsAt(identity: string, at: number): boolean {
    if (!identity.startsWith(this.#accountStep, at)) return false;
    const end = at + this.#accountStep.length;
    return end === identity.length || (identity[end] === '/' && end + 1 < identity.length);
  }
}
