/**
 * Copies a value for a log line or a dump: private keys and credentials become `[redacted]`, and the copy is
 * plain JSON whatever was given (cycles, errors, bytes, bigints, lone surrogates).
 */

export const REDACTED = '[redacted]';

/** How much of a value is copied. */
export interface RedactBounds {
  readonly maxDepth: number;
  readonly maxItems: number;
  readonly maxStringLength: number;
}

/** For dumps of configuration: trees of ours, so only cycles and nonsense are cut. */
export const DUMP_BOUNDS: RedactBounds = { maxDepth: 64, maxItems: 100_000, maxStringLength: 1_048_576 };

/** For log lines: a peer may have filled what is logged. */
export const LOG_BOUNDS: RedactBounds = { maxDepth: 6, maxItems: 100, maxStringLength: 4_096 };

/** Keys whose values are never shown, compared in lower case without `-` and `_`. */
const SECRET_KEYS = new Set([
  'authorization',
  'cookie',
  'password',
  'proxyauthorization',
  'setcookie',
  'ticketkeys',
  'ticketsecret',
  'token',
]);

const PRIVATE_KEY_PEM = /-----BEGIN [A-Z ]*PRIVATE KEY-----/;

/** Whether the value under this key is a secret: `privateKey…`, `…KeyPem` but not `publicKeyPem`, credentials. */
export function isSecretKey(key: string): boolean {
  const plain = key.toLowerCase().replaceAll(/[-_]/g, '');
  if (plain.startsWith('privatekey') || SECRET_KEYS.has(plain)) return true;
  return plain.endsWith('keypem') && !plain.includes('public');
}

/** A plain copy without secrets. */
export function redact(value: unknown, bounds: RedactBounds = DUMP_BOUNDS): unknown {
  return copy(value, bounds, 0, false);
}

function copy(value: unknown, bounds: RedactBounds, depth: number, secret: boolean): unknown {
  switch (typeof value) {
    case 'string':
      return secret ? REDACTED : text(value, bounds);
    case 'number':
      return secret ? REDACTED : Number.isFinite(value) ? value : String(value);
    case 'boolean':
      return value;
    case 'bigint':
      return secret ? REDACTED : String(value);
    case 'object':
      return value === null ? null : copyObject(value, bounds, depth, secret);
    case 'undefined':
    case 'function':
    case 'symbol':
      return undefined;
    default:
      return undefined;
  }
}

function text(value: string, bounds: RedactBounds): string {
  if (PRIVATE_KEY_PEM.test(value)) return REDACTED;
  const whole = value.toWellFormed();
  if (whole.length <= bounds.maxStringLength) return whole;
  const cut = whole.slice(0, bounds.maxStringLength).toWellFormed();
  return `${cut}… (${whole.length - bounds.maxStringLength} more)`;
}

function copyObject(value: object, bounds: RedactBounds, depth: number, secret: boolean): unknown {
  if (depth >= bounds.maxDepth) return '[too deep]';
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer)
    return secret ? REDACTED : `[${value.byteLength} bytes]`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof Error) return copyError(value, bounds, depth);
  if (value instanceof Set) return copyArray([...value], bounds, depth, secret);
  if (Array.isArray(value)) return copyArray(value, bounds, depth, secret);
  const entries: Iterable<[unknown, unknown]> = value instanceof Map ? value : Object.entries(value);
  const result: Record<string, unknown> = {};
  let items = 0;
  for (const [key, item] of entries) {
    if (++items > bounds.maxItems) break;
    const name = text(String(key), bounds);
    // defineProperty: a key `__proto__` of a parsed document is a key like any other.
    Object.defineProperty(result, name, {
      value: copy(item, bounds, depth + 1, secret || isSecretKey(name)),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return result;
}

function copyArray(
  value: readonly unknown[],
  bounds: RedactBounds,
  depth: number,
  secret: boolean,
): unknown[] {
  return value.slice(0, bounds.maxItems).map((item) => copy(item, bounds, depth + 1, secret) ?? null);
}

function copyError(error: Error, bounds: RedactBounds, depth: number): unknown {
  const own = Object.fromEntries(Object.entries(error));
  return copy(
    { type: error.name, message: error.message, ...own, stack: error.stack, cause: error.cause },
    bounds,
    depth,
    false,
  );
}
