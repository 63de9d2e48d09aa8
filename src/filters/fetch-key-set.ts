/**
 * Fetches one key set, for the control half alone: OIDC discovery where no URI is written, at most three redirects,
 * one deadline for all of it, and a body that is cut off when it grows too large.
 *
 * The address that was checked is the one that is dialled. Proxies of the environment are not used.
 */
import { lookup as lookUp } from 'node:dns';
import type { LookupAddress, LookupOptions } from 'node:dns';
import { isIP } from 'node:net';
import type { LookupFunction } from 'node:net';
import tls from 'node:tls';
import type { KeySetPlan } from '../core/jwt-plan.ts';
import type { Limits } from '../core/limits.ts';
import { addressFault } from './fetch-key-set-address.ts';
import type { KeySetAddressRules } from './fetch-key-set-address.ts';
import { memberOf, parseJsonObjectText } from './jwt-json.ts';
import { keysOf, parseKeySet } from './jwt-key-set.ts';

export interface FetchKeySetOptions {
  readonly addresses: KeySetAddressRules;
  readonly limits: Pick<Limits, 'maxJwksBytes' | 'maxJwksKeys'>;
  /** Ends it early. */
  readonly signal: AbortSignal;
}

export interface KeySetText {
  readonly jwks: string;
  /** As many as there are, and those of them that can be used. */
  readonly keys: number;
  readonly usableKeys: number;
}

const MAX_REDIRECTS = 3;
const MAX_HEAD_BYTES = 16_384;

/** Rejects with a sentence that says what is wrong and quotes no content. */
export async function fetchKeySet(plan: KeySetPlan, options: FetchKeySetOptions): Promise<KeySetText> {
  const deadline = AbortSignal.timeout(plan.timeoutMs);
  const signal = AbortSignal.any([deadline, options.signal]);
  try {
    const uri = plan.jwksUri === '' ? await discover(plan.issuer, options, signal) : plan.jwksUri;
    return keySetOf(await getText(uri, options, signal), uri, options.limits);
  } catch (thrown) {
    if (!deadline.aborted) throw thrown;
    throw new Error(`no key set in ${plan.timeoutMs} ms`, { cause: thrown });
  }
}

/** OpenID Connect Discovery 1.0 §4. */
async function discover(issuer: string, options: FetchKeySetOptions, signal: AbortSignal): Promise<string> {
  const from = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const document = parseJsonObjectText(await getText(from, options, signal));
  const uri = document === null ? undefined : memberOf(document, 'jwks_uri');
  if (typeof uri !== 'string') throw new Error(`"${from}" answered no JSON object with "jwks_uri"`);
  const found = parseUrl(uri);
  if (found.protocol === 'http:' && from.startsWith('https:'))
    throw new Error(`"${from}" leads from https to "${shownUrl(found)}"`);
  return uri;
}

function keySetOf(text: string, uri: string, limits: FetchKeySetOptions['limits']): KeySetText {
  const keys = keysOf(text);
  if (keys === null) throw new Error(`"${shownUrl(parseUrl(uri))}" answered no JSON object with "keys"`);
  if (keys.length > limits.maxJwksKeys) {
    const found = `${keys.length} keys at "${shownUrl(parseUrl(uri))}"`;
    throw new Error(`${found} are more than limits.maxJwksKeys ${limits.maxJwksKeys}`);
  }
  return { jwks: text, keys: keys.length, usableKeys: parseKeySet(text).keys.length };
}

async function getText(uri: string, options: FetchKeySetOptions, signal: AbortSignal): Promise<string> {
  let url = parseUrl(uri);
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const answer = await get(url, options, signal);
    if ('text' in answer) return answer.text;
    const next = parseUrl(answer.location, url);
    if (url.protocol === 'https:' && next.protocol === 'http:')
      throw new Error(`"${shownUrl(url)}" leads from https to "${shownUrl(next)}"`);
    url = next;
  }
  throw new Error(`"${shownUrl(parseUrl(uri))}" redirects more than ${MAX_REDIRECTS} times`);
}

type Answer = { readonly text: string } | { readonly location: string };

async function get(
  url: URL,
  { addresses, limits }: FetchKeySetOptions,
  signal: AbortSignal,
): Promise<Answer> {
  const { Agent, request } = await import('undici');
  const port = Number(url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : url.port);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const fault = isIP(host) === 0 ? null : addressFault(host, port, addresses);
  if (fault !== null) throw new Error(`Cannot fetch "${shownUrl(url)}": ${fault}`);
  const agent = new Agent({
    connections: 1,
    maxHeaderSize: MAX_HEAD_BYTES,
    connect: {
      lookup: checkedLookup(port, addresses),
      rejectUnauthorized: true,
      ...(url.protocol === 'https:' ? { ca: systemRoots() } : {}),
    },
  });
  try {
    const headers = { accept: 'application/json' };
    const {
      body,
      headers: received,
      statusCode,
    } = await request(url, { dispatcher: agent, signal, headers });
    // It may fail when nobody reads it any more.
    body.on('error', () => {});
    const { location } = received;
    if (REDIRECTS.has(statusCode) && typeof location === 'string') return { location };
    if (statusCode !== 200) throw new Error(`"${shownUrl(url)}" answered ${statusCode}`);
    return { text: await readText(body, url, limits.maxJwksBytes) };
  } catch (thrown) {
    throw isTold(thrown) ? thrown : new Error(`Cannot fetch "${shownUrl(url)}": ${reasonOf(thrown)}`);
  } finally {
    await agent.destroy();
  }
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

async function readText(body: AsyncIterable<Buffer>, url: URL, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > maxBytes)
      throw new Error(`"${shownUrl(url)}" answered more than limits.maxJwksBytes ${maxBytes}`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** Answers only with addresses that may be dialled, so that no second look-up can answer otherwise. */
function checkedLookup(port: number, rules: KeySetAddressRules): LookupFunction {
  return (hostname: string, options: LookupOptions, callback): void => {
    lookUp(hostname, { ...options, all: true }, (error, found) => {
      if (error !== null) {
        callback(error, '', 0);
        return;
      }
      const faults = found.map(({ address }) => addressFault(address, port, rules));
      const usable: LookupAddress[] = found.filter((_, index) => faults[index] === null);
      const [first] = usable;
      if (first === undefined) callback(new Error(faults[0] ?? `"${hostname}" has no address`), '', 0);
      else if (options.all === true) callback(null, usable);
      else callback(null, first.address, first.family);
    });
  };
}

/** The operating system's; Node's own list where the system has none, as in a small image. */
function systemRoots(): string[] {
  const system = tls.getCACertificates('system');
  return system.length > 0 ? system : tls.getCACertificates('bundled');
}

function parseUrl(text: string, base?: URL): URL {
  const url = URL.parse(text, base?.href);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw new Error(`Cannot fetch ${JSON.stringify(text.slice(0, 200))}: it is no http or https URL`);
  return url;
}

/** Without what may be a secret. */
function shownUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`.slice(0, 200);
}

/** Ours say everything already. */
function isTold(thrown: unknown): boolean {
  return thrown instanceof Error && thrown.message.startsWith('"');
}

/** Of several attempts to connect, the first failure. */
function reasonOf(thrown: unknown): string {
  if (thrown instanceof AggregateError) return reasonOf(thrown.errors[0]);
  return thrown instanceof Error ? thrown.message : String(thrown);
}
