/**
 * Faults that somebody could write into the engine: each is one piece of its source and what stands there instead. The
 * comparison with Envoy has to notice every one.
 */

export interface Fault {
  readonly name: string;
  /** Below `src`. */
  readonly file: string;
  /** Stands there exactly once. */
  readonly piece: string;
  readonly instead: string;
}

export const FAULTS: readonly Fault[] = [
  {
    name: 'a suffix is one character short',
    file: 'policy/matchers/string-matcher.ts',
    piece: 'new SuffixText(value.slice(1))',
    instead: 'new SuffixText(value.slice(2))',
  },
  {
    name: 'a prefix is one character short',
    file: 'policy/matchers/string-matcher.ts',
    piece: 'new PrefixText(value.slice(0, -1))',
    instead: 'new PrefixText(value.slice(0, -2))',
  },
  {
    name: 'not-fields are fields',
    file: 'policy/clause.ts',
    piece: 'return this.field.hit(view) !== this.negated;',
    instead: 'return this.field.hit(view);',
  },
  {
    name: 'request principals split at the first slash',
    file: 'policy/matchers/request-principal-matcher.ts',
    piece: "value.lastIndexOf('/')",
    instead: "value.indexOf('/')",
  },
  {
    name: 'the aliases of the trust domain are left out',
    file: 'policy/compile-field.ts',
    piece: 'principals(expandPrincipals(values, context.trustDomains))',
    instead: 'principals(values)',
  },
  {
    name: 'cluster.local is a trust domain like any other',
    file: 'policy/trust-domain-aliases.ts',
    piece: 'domain !== LOCAL && ',
    instead: '',
  },
  {
    name: 'trustDomains know no aliases',
    file: 'policy/compile-field.ts',
    piece: 'trustDomains(expandTrustDomains(values, context.trustDomains))',
    instead: 'trustDomains(values)',
  },
  {
    name: 'a lone star takes the empty text',
    file: 'policy/matchers/string-matcher.ts',
    piece: "value === '*' ? new NonEmptyText()",
    instead: "value === '*' ? new PresentText()",
  },
  {
    name: 'an empty header is absent',
    file: 'policy/matchers/string-matcher.ts',
    piece: "value === '*' ? new PresentText()",
    instead: "value === '*' ? new NonEmptyText()",
  },
  {
    name: 'ports are not looked at',
    file: 'policy/fields/port-field.ts',
    piece: 'return this.#ports.includes(view.connection.facts.destinationPort);',
    instead: 'return true;',
  },
  {
    name: '{*} takes slashes',
    file: 'policy/matchers/path-template.ts',
    piece: 'while (at < path.length && SEGMENT_CHARACTERS[path.charCodeAt(at)] === 1) at++;',
    instead:
      'while (at < path.length && (SEGMENT_CHARACTERS[path.charCodeAt(at)] === 1 || path[at] === "/")) at++;',
  },
  {
    name: '{*} takes nothing',
    file: 'policy/matchers/path-template.ts',
    piece: 'if (end === at) return false;',
    instead: '',
  },
  {
    name: 'paths are compared without case',
    file: 'policy/request-view.ts',
    piece: "plainPath(this.request?.path ?? '')",
    instead: "plainPath(this.request?.path ?? '').toLowerCase()",
  },
  {
    name: 'the query belongs to the path',
    file: 'policy/request-view.ts',
    piece: "plainPath(this.request?.path ?? '')",
    instead: "this.request?.path ?? ''",
  },
  {
    name: 'the first rule decides, not the one with the smallest key',
    file: 'policy/compiled-rule-set.ts',
    piece: '.toSorted((one, other) => compareKeys(one.matched.key, other.matched.key))',
    instead: '',
  },
  {
    name: 'lists of claims are not looked into',
    file: 'policy/fields/claim-field.ts',
    piece: 'if (!Array.isArray(claim)) return false;',
    instead: 'return false;',
  },
  {
    name: 'claims inside claims are not looked into',
    file: 'policy/fields/claim-field.ts',
    piece: 'for (const name of path) {',
    instead: 'for (const name of path.slice(0, 1)) {',
  },
  {
    name: 'only the first of repeated headers counts',
    file: 'policy/fields/header-field.ts',
    piece: 'for (const value of values) {',
    instead: 'for (const value of values.slice(0, 1)) {',
  },
  {
    name: 'a block is one bit too wide',
    file: 'policy/matchers/ip-block.ts',
    piece: '(-1 << (32 - bits))',
    instead: '(-1 << (33 - bits))',
  },
  {
    name: 'a namespace is the beginning of one',
    file: 'policy/matchers/namespace-matcher.ts',
    piece: '`/ns/${value}/`',
    instead: '`/ns/${value}`',
  },
  {
    name: 'a service account is the beginning of one',
    file: 'policy/matchers/service-account-matcher.ts',
    piece: "return end === identity.length || (identity[end] === '/' && end + 1 < identity.length);",
    instead: 'return true;',
  },
  {
    name: 'a service account without namespace is in "default"',
    file: 'policy/matchers/service-account-matcher.ts',
    piece: 'slash === -1 ? policyNamespace',
    instead: "slash === -1 ? 'default'",
  },
  {
    name: 'ALLOW goes before DENY',
    file: 'policy/decide-access.ts',
    piece: 'if (denied !== null) {',
    instead: 'if (denied !== null && (rules.allow?.match(connection, request) ?? null) === null) {',
  },
  {
    name: 'an ALLOW without rules allows',
    file: 'policy/decide-access.ts',
    piece: 'if (rules.allow === null) {',
    instead: 'if (rules.allow === null || rules.allow.size === 0) {',
  },
  {
    name: 'dry run is enforced',
    file: 'policy/compile-policies.ts',
    piece: 'policy.action === action && policy.dryRun === dryRun',
    instead: 'policy.action === action',
  },
  {
    name: 'ALLOW rules about HTTP stay on TCP',
    file: 'policy/compile-rule.ts',
    piece: 'if (!passedOver) this.dropped = true;',
    instead: '',
  },
  {
    name: 'DENY rules about HTTP are dropped on TCP',
    file: 'policy/compile-rule.ts',
    piece: "const passedOver = this.#context.action !== 'ALLOW';",
    instead: 'const passedOver = false;',
  },
  {
    name: 'hosts are compared with case',
    file: 'policy/compile-field.ts',
    piece: 'headerMatcher(lowerAscii(wireText(value)))',
    instead: 'headerMatcher(wireText(value))',
  },
  {
    name: 'ALLOW takes a host with any port',
    file: 'policy/compile-field.ts',
    piece: "action !== 'ALLOW' && !negated",
    instead: '!negated',
  },
  {
    name: 'only the first of several sources or operations counts',
    file: 'policy/compiled-rule.ts',
    piece: 'if (holdAll(clauses, view)) return true;',
    instead: 'return holdAll(clauses, view);',
  },
  {
    name: 'only the first of several clauses counts',
    file: 'policy/compiled-rule.ts',
    piece: 'if (!clause.holds(view)) return false;',
    instead: 'return clause.holds(view);',
  },
  {
    name: 'the client is the first of X-Forwarded-For',
    file: 'policy/request-view.ts',
    piece: "value.slice(value.lastIndexOf(',') + 1)",
    instead: "value.split(',', 1)[0]!",
  },
  {
    name: 'X-Forwarded-For makes the direct peer',
    file: 'policy/fields/address-field.ts',
    piece: 'return view.connection.peer;',
    instead: 'return view.client;',
  },
  {
    name: 'a suffix of a principal may overlap the scheme',
    file: 'policy/matchers/principal-matcher.ts',
    piece: 'new PrefixText(SCHEME + value.slice(0, -1))',
    instead: 'new PrefixText(value.slice(0, -1))',
  },
];
