/** What stands in the brackets of a `when` key, as Istio's control plane reads it. */

/** `request.headers[X-Role]` → `X-Role`; null: no brackets. */
export function headerNameIn(key: string): string | null {
  return bracketed(key.slice('request.headers'.length));
}

/** `request.auth.claims[a][b]` → a, b; brackets within brackets are part of one name. null: no brackets. */
export function claimPathIn(key: string): readonly string[] | null {
  const text = key.slice('request.auth.claims'.length);
  if (/^(?:\[[^[\]]*\])+$/.test(text)) return text.slice(1, -1).split('][');
  const name = bracketed(text);
  return name === null ? null : [name];
}

/** `experimental.envoy.filters.a.b[c]` → `envoy.filters.a.b` and `c`; null: no bracket. */
export function metadataKeyIn(key: string): { readonly filter: string; readonly key: string } | null {
  const text = key.slice('experimental.'.length).replace(/\]$/, '');
  const bracket = text.indexOf('[');
  return bracket === -1 ? null : { filter: text.slice(0, bracket), key: text.slice(bracket + 1) };
}

function bracketed(text: string): string | null {
  return text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : null;
}
