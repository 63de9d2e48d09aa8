/**
 * Istio's value syntax (`exact`, `prefix*`, `*suffix`, `*`) as Envoy's envoy.type.matcher.v3 messages.
 *
 * A leading star wins over a trailing one, which is then literal; a star within a value always is.
 */
import type { EnvoyMessage } from './envoy-message.ts';

/** `*` is presence of a value that is not empty. */
export function stringMatcher(value: string): EnvoyMessage {
  if (value === '*') return regexMatcher('.+');
  if (value.startsWith('*')) return { suffix: value.slice(1) };
  if (value.endsWith('*')) return { prefix: value.slice(0, -1) };
  return { exact: value };
}

/** The same for values that are written without the `spiffe://` that the certificate has. */
export function spiffeMatcher(value: string): EnvoyMessage {
  if (value === '*') return regexMatcher('.+');
  if (value.startsWith('*')) return regexMatcher(`spiffe://.*${quoted(value.slice(1))}`);
  if (value.endsWith('*')) return { prefix: `spiffe://${value.slice(0, -1)}` };
  return { exact: `spiffe://${value}` };
}

/** RE2, of the whole text. */
export function regexMatcher(regex: string): EnvoyMessage {
  return { safeRegex: { regex } };
}

/** `*` is presence, also of an empty value. */
export function headerMatcher(name: string, value: string, ignoreCase = false): EnvoyMessage {
  if (value === '*') return { name, presentMatch: true };
  const matcher = stringMatcher(value);
  return { name, stringMatch: ignoreCase ? { ...matcher, ignoreCase } : matcher };
}

/** Text that stands for itself in a regular expression of RE2. */
export function quoted(text: string): string {
  return text.replaceAll(/[\\.+*?()|[\]{}^$]/g, String.raw`\$&`);
}
