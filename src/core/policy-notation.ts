/**
 * How values of AuthorizationPolicy are written, for those who check them and those who evaluate them: what was checked
 * is what is evaluated.
 */

/** Path templates have `{*}` or `{**}` (Istio 1.22 and later). */
export function isPathTemplate(path: string): boolean {
  return path.includes('{*}') || path.includes('{**}');
}

export interface ConditionKeyParts {
  /** What stands before the brackets. */
  readonly name: string;
  /** Empty without brackets; null where they do not end the key. */
  readonly path: readonly string[] | null;
}

/** A `when.key`: `[a][b]` is claim b in claim a; brackets that do not pair are part of one literal name. */
export function splitConditionKey(key: string): ConditionKeyParts {
  const bracket = key.indexOf('[');
  if (bracket === -1) return { name: key, path: [] };
  const name = key.slice(0, bracket);
  if (!key.endsWith(']')) return { name, path: null };
  const inside = key.slice(bracket + 1, -1);
  const isNested = /^(?:\[[^[\]]*\])+$/.test(key.slice(bracket));
  return { name, path: isNested ? inside.split('][') : [inside] };
}
