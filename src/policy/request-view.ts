/**
 * One request and its connection as rules look at them: what several rules need is worked out at most once a
 * decision, and only if a rule asks. Kept by its rule set and used again; holds no request between two decisions.
 */
import { parseIp } from './matchers/ip-address.ts';
import type { IpAddress } from './matchers/ip-address.ts';
import { lowerAscii } from './matchers/wire-text.ts';
import { PolicyConnection } from './policy-connection.ts';
import type { PolicyRequest } from './policy-request.ts';

const NO_CONNECTION = new PolicyConnection({
  identities: [],
  remoteIp: '',
  destinationIp: '',
  destinationPort: 0,
  sni: '',
});

export class RequestView {
  connection: PolicyConnection = NO_CONNECTION;
  request: PolicyRequest | null = null;
  #path: string | null = null;
  #host: string | null = null;
  #hostForms: readonly string[] | null = null;
  #client: IpAddress | null | undefined = undefined;

  begin(connection: PolicyConnection, request: PolicyRequest | null): void {
    this.connection = connection;
    this.request = request;
  }

  end(): void {
    this.connection = NO_CONNECTION;
    this.request = null;
    this.#path = null;
    this.#host = null;
    this.#hostForms = null;
    this.#client = undefined;
  }

  /** Without query and fragment. */
  get path(): string {
    this.#path ??= plainPath(this.request?.path ?? '');
    return this.#path;
  }

  get method(): string {
    return this.request?.method ?? '';
  }

  /** Host and port as received, in lower case. */
  get host(): string {
    this.#host ??= lowerAscii(this.request?.authority ?? '');
    return this.#host;
  }

  /** The host's other spellings: without its port, without the dot at the end of its name. */
  get hostForms(): readonly string[] {
    this.#hostForms ??= otherForms(this.host);
    return this.#hostForms;
  }

  /** The last address of X-Forwarded-For, which the sender may make up; without one the direct peer. */
  get client(): IpAddress | null {
    if (this.#client === undefined) {
      this.#client = forwardedIp(this.request?.fields ?? []) ?? this.connection.peer;
    }
    return this.#client;
  }

  /** A claim of the verified token at the top of its payload, if it is a string. */
  stringClaim(name: string): string | null {
    const payload = this.request?.token?.payload;
    const value = payload !== undefined && Object.hasOwn(payload, name) ? payload[name] : undefined;
    return typeof value === 'string' ? value : null;
  }
}

function plainPath(path: string): string {
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i);
    // ? or #
    if (code === 63 || code === 35) return path.slice(0, i);
  }
  return path;
}

const NONE: readonly string[] = [];

function otherForms(host: string): readonly string[] {
  const colon = host.lastIndexOf(':');
  const hasPort = colon !== -1 && colon > host.lastIndexOf(']');
  const name = hasPort ? host.slice(0, colon) : host;
  const bare = withoutDots(name);
  if (!hasPort) return bare === name ? NONE : [bare];
  return bare === name ? [name] : [name, bare, bare + host.slice(colon)];
}

function withoutDots(name: string): string {
  let end = name.length;
  while (end > 0 && name[end - 1] === '.') end--;
  return end === name.length ? name : name.slice(0, end);
}

/** Copies are one list (Envoy joins them, leaving out empty ones), so the last that says anything counts. */
function forwardedIp(fields: readonly string[]): IpAddress | null {
  for (let i = fields.length - 2; i >= 0; i -= 2) {
    if (fields[i] !== 'x-forwarded-for') continue;
    const value = fields[i + 1] ?? '';
    if (value === '') continue;
    return parseIp(value.slice(value.lastIndexOf(',') + 1).trim());
  }
  return null;
}
