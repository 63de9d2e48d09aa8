/**
 * Field names that this proxy sets or trusts, and those that end at each hop.
 */

/** Set or trusted by us: an alias with `_` for `-` could be read as one of them by a CGI-style app. */
const PROTECTED: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'forwarded',
  'host',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-forwarded-client-cert',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-request-id',
  'authorization',
  'cookie',
]);

/** Whether a name with `_` equals one of ours once `_` is read as `-`. */
export function aliasesProtectedName(lowerName: string, also: ReadonlySet<string>): boolean {
  const dashed = lowerName.replaceAll('_', '-');
  return PROTECTED.has(dashed) || also.has(dashed) || dashed.startsWith('x-envoy-');
}

export function isProtectedName(lowerName: string): boolean {
  return PROTECTED.has(lowerName) || lowerName.startsWith('x-envoy-');
}

/** Fields that mean nothing in trailers and could mislead who merges them (RFC 9110 §6.5.1). */
const FORBIDDEN_IN_TRAILERS: ReadonlySet<string> = new Set([
  'age',
  'cache-control',
  'content-encoding',
  'content-range',
  'content-type',
  'date',
  'expires',
  'location',
  'max-forwards',
  'pragma',
  'proxy-authenticate',
  'proxy-authorization',
  'range',
  'retry-after',
  'set-cookie',
  'vary',
  'www-authenticate',
]);

export function isForbiddenInTrailers(lowerName: string): boolean {
  return FORBIDDEN_IN_TRAILERS.has(lowerName);
}
