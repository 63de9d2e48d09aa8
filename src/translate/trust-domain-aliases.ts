/**
 * What a principal or a trust domain of a policy stands for in a mesh with aliases (Istio's trust domain bundle).
 *
 * Only principals of five parts, `TD/ns/NS/sa/SA`, are rewritten: `cluster.local/ns/foo/*` keeps its trust domain.
 */

/** Always one of the mesh, whatever the mesh is called. */
const LOCAL = 'cluster.local';
const PRINCIPAL_PARTS = 5;

/** Each principal for every trust domain of the mesh; those of other meshes as they are. */
export function migratePrincipals(principals: readonly string[], known: readonly string[]): string[] {
  return principals.flatMap((principal) => migrate(principal, known));
}

/** Each trust domain of the mesh as all of them; here `cluster.local` is a name like any other. */
export function expandTrustDomains(values: readonly string[], known: readonly string[]): string[] {
  return [...new Set(values.flatMap((value) => (known.includes(value) ? known : [value])))];
}

function migrate(principal: string, known: readonly string[]): readonly string[] {
  const [domain = '', ...rest] = principal.split('/');
  if (rest.length !== PRINCIPAL_PARTS - 1 || domain === '*') return [principal];
  if (domain !== LOCAL && !known.some((one) => overlap(domain, one))) return [principal];
  const path = rest.join('/');
  return [...new Set(known.map((one) => (endsLike(one, domain) ? principal : `${one}/${path}`)))];
}

/** Equal, or one of the two has a star at an end that covers the other. */
function overlap(domain: string, known: string): boolean {
  return (
    domain === known ||
    known === '*' ||
    endsLike(domain, known) ||
    endsLike(known, domain) ||
    beginsLike(domain, known) ||
    beginsLike(known, domain)
  );
}

function endsLike(text: string, pattern: string): boolean {
  return pattern.startsWith('*') && text.endsWith(pattern.slice(1));
}

function beginsLike(text: string, pattern: string): boolean {
  return pattern.endsWith('*') && text.startsWith(pattern.slice(0, -1));
}
