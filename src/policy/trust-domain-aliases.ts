/**
 * Trust domain migration (Istio's trustdomain/bundle.go): a principal of any of this mesh's trust domains stands for
 * the same principal in all of them. Known trust domains: the mesh's own first, then its aliases.
 */

/** Istio's name for "this mesh's trust domain", whatever that is called. */
const LOCAL = 'cluster.local';

/** `td/ns/x/sa/y` in all trust domains that it stands for; anything of another form unchanged. */
export function expandPrincipals(principals: readonly string[], trustDomains: readonly string[]): string[] {
  return principals.flatMap((principal) => expandPrincipal(principal, trustDomains));
}

/** A trust domain that is known stands for all; only whole names, and `cluster.local` is nothing special. */
export function expandTrustDomains(values: readonly string[], trustDomains: readonly string[]): string[] {
  const expanded = values.flatMap((value) => (trustDomains.includes(value) ? trustDomains : [value]));
  return [...new Set(expanded)];
}

function expandPrincipal(principal: string, trustDomains: readonly string[]): string[] {
  // The common case by far: nothing to migrate.
  if (trustDomains.length === 1 && principal.startsWith(`${trustDomains[0]}/`)) return [principal];
  const [domain = '', ...steps] = principal.split('/');
  if (steps.length !== 4 || domain === '*' || trustDomains.length === 0) return [principal];
  if (domain !== LOCAL && !trustDomains.some((known) => overlap(domain, known))) return [principal];
  const expanded = trustDomains.map((known) =>
    endsAs(known, domain) ? principal : [known, ...steps].join('/'),
  );
  return [...new Set(expanded)];
}

/** Equal, or one is a pattern with a star at its beginning or end that the other meets. */
function overlap(domain: string, known: string): boolean {
  return (
    domain === known ||
    known === '*' ||
    startsAs(domain, known) ||
    startsAs(known, domain) ||
    endsAs(domain, known) ||
    endsAs(known, domain)
  );
}

function startsAs(text: string, pattern: string): boolean {
  return pattern.endsWith('*') && text.startsWith(pattern.slice(0, -1));
}

function endsAs(text: string, pattern: string): boolean {
  return pattern.startsWith('*') && text.endsWith(pattern.slice(1));
}
