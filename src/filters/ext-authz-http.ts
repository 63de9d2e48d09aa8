/**
 * The HTTP check of `envoyExtAuthzHttp`: the request's own method and path, a few of its fields, and what the status
 * of the answer means. 200 allows, another status below 500 denies with the answer itself, all else is an error.
 */
import type { ExtAuthzProvider } from '../core/authorization-plan.ts';
import type {
  ClientExchange,
  ExchangeOpener,
  PendingExchange,
  RequestHead,
  ResponseHead,
  UpstreamFailure,
  UpstreamSink,
} from '../http/exchange.ts';
import { getFieldValues, removeField, setField } from '../http/fields.ts';
import type { Fields } from '../http/fields.ts';
import { nextMember } from '../http/list-members.ts';
import { isWritableName } from '../http/write-head.ts';
import { errorAnswer, MAX_ANSWER_BYTES, PARTIAL_BODY_HEADER } from './ext-authz-answer.ts';
import type { CancelCheck, CheckAnswer, CheckedBody, HeaderChange } from './ext-authz-answer.ts';
import { HeaderNames } from './ext-authz-names.ts';

const REMOVE_HEADER = 'x-envoy-auth-headers-to-remove';

/** What a denial carries to the client besides the names that the provider's list has. */
const ALWAYS_ON_DENY: readonly string[] = ['www-authenticate', 'location'];

const NOBODY: readonly string[] = [];
const EMPTY = Buffer.alloc(0);

/** The matchers of a provider, made when it is first asked. */
interface ProviderNames {
  readonly toCheck: HeaderNames;
  readonly toUpstream: HeaderNames;
  /** null: all of them. */
  readonly onDeny: HeaderNames | null;
  readonly onAllow: HeaderNames;
}

const namesOfProviders = new WeakMap<ExtAuthzProvider, ProviderNames>();

function namesOf(provider: ExtAuthzProvider): ProviderNames {
  let names = namesOfProviders.get(provider);
  if (names === undefined) {
    const { headersToDownstreamOnDeny: onDeny } = provider;
    names = {
      toCheck: new HeaderNames(['authorization', ...provider.includeRequestHeadersInCheck]),
      toUpstream: new HeaderNames(provider.headersToUpstreamOnAllow),
      onDeny: onDeny.length === 0 ? null : new HeaderNames([...ALWAYS_ON_DENY, ...onDeny]),
      onAllow: new HeaderNames(provider.headersToDownstreamOnAllow),
    };
    namesOfProviders.set(provider, names);
  }
  return names;
}

/** `done` is called once at most, and never after the cancel. */
export function startHttpCheck(
  provider: ExtAuthzProvider,
  opener: ExchangeOpener,
  head: RequestHead,
  body: CheckedBody | null,
  done: (answer: CheckAnswer) => void,
): CancelCheck {
  const check = new HttpCheck(namesOf(provider), checkHead(provider, head, body), body, opener, done);
  check.start(false);
  return () => check.cancel();
}

function checkHead(provider: ExtAuthzProvider, head: RequestHead, body: CheckedBody | null): RequestHead {
  const { toCheck } = namesOf(provider);
  const fields = joinedFields(head.fields, toCheck);
  if (body !== null) setField(fields, PARTIAL_BODY_HEADER, String(body.partial));
  let authority = head.authority === '' ? provider.host : head.authority;
  const more = provider.includeAdditionalHeadersInCheck;
  for (let i = 0; i < more.length; i += 2) {
    const name = more[i]!;
    if (name === 'host') authority = more[i + 1]!;
    else if (isWritableName(name)) setField(fields, name, more[i + 1]!);
  }
  const path = provider.pathPrefix + head.path;
  return {
    method: head.method,
    rawTarget: path,
    path,
    authority,
    version: '1.1',
    fields,
    bodyLength: body === null ? 0 : body.bytes.length,
    statesEmptyBody: true,
    expectContinue: false,
    acceptsTrailers: false,
  };
}

/** One field a name, all of its values joined: a provider that reads only one must not miss the others. */
function joinedFields(fields: readonly string[], names: HeaderNames): Fields {
  const found: Fields = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!;
    if (!names.has(name)) continue;
    const at = indexOfName(found, name);
    if (at === -1) found.push(name, fields[i + 1]!);
    else found[at + 1] += ',' + fields[i + 1]!;
  }
  return found;
}

function indexOfName(fields: readonly string[], name: string): number {
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) return i;
  return -1;
}

class HttpCheck implements UpstreamSink {
  readonly #names: ProviderNames;
  readonly #head: RequestHead;
  readonly #body: CheckedBody | null;
  readonly #opener: ExchangeOpener;
  readonly #done: (answer: CheckAnswer) => void;
  #pending: PendingExchange | null = null;
  #exchange: ClientExchange | null = null;
  #answer: ResponseHead | null = null;
  readonly #chunks: Buffer[] = [];
  #size = 0;
  #repeated = false;
  #over = false;

  constructor(
    names: ProviderNames,
    head: RequestHead,
    body: CheckedBody | null,
    opener: ExchangeOpener,
    done: (answer: CheckAnswer) => void,
  ) {
    this.#names = names;
    this.#head = head;
    this.#body = body;
    this.#opener = opener;
    this.#done = done;
  }

  start(fresh: boolean): void {
    const pending = this.#opener.open(this, fresh, NOBODY);
    // It may be ready, or over, by now.
    if (this.#exchange === null && !this.#over) this.#pending = pending;
  }

  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    this.#pending?.abort();
    this.#exchange?.abort();
  }

  onReady(exchange: ClientExchange): void {
    this.#pending = null;
    this.#exchange = exchange;
    const bytes = this.#body?.bytes ?? EMPTY;
    const bodyless = bytes.length === 0;
    exchange.sendHead(this.#head, bodyless);
    if (bodyless) return;
    // At most what the provider takes, and held already: no back-pressure is needed.
    exchange.sendData(bytes);
    exchange.sendEnd(null);
  }

  onInterim(): void {
    // Nothing that an authorization could mean.
  }

  onAnswerHead(head: ResponseHead, endStream: boolean): void {
    this.#answer = head;
    if (endStream) this.#settle(head);
  }

  onAnswerData(chunk: Buffer): void {
    if (this.#over) return;
    this.#size += chunk.length;
    if (this.#size > MAX_ANSWER_BYTES) {
      this.cancel();
      this.#done(errorAnswer(`the answer is longer than ${MAX_ANSWER_BYTES} bytes`));
    } else if (this.#answer?.status !== 200) this.#chunks.push(chunk);
  }

  onAnswerEnd(): void {
    if (this.#answer !== null) this.#settle(this.#answer);
  }

  onFailed(failure: UpstreamFailure): void {
    if (this.#over) return;
    this.#exchange = null;
    this.#pending = null;
    const { answered, code, detail, reused, upstreamHost } = failure;
    // It was closed for its age in the moment that it was used again: a check changes nothing, so it is safe to repeat.
    if (reused && !answered && code === 'upstream_reset' && !this.#repeated) {
      this.#repeated = true;
      this.start(true);
      return;
    }
    this.#over = true;
    this.#done(errorAnswer(`${code}${upstreamHost === '' ? '' : ` at ${upstreamHost}`}: ${detail}`));
  }

  onUpstreamWritable(): void {
    // Everything was given to the connection at once.
  }

  #settle(head: ResponseHead): void {
    if (this.#over) return;
    this.#over = true;
    this.#done(this.#answerOf(head));
  }

  #answerOf({ fields, status }: ResponseHead): CheckAnswer {
    if (status >= 500) return errorAnswer(`it answered ${status}`);
    const toRemove = status === 200 ? listMembers(getFieldValues(fields, REMOVE_HEADER)) : [];
    removeField(fields, REMOVE_HEADER);
    const { onAllow, onDeny, toUpstream } = this.#names;
    if (status !== 200) {
      const headers = changesOf(fields, onDeny, 'add');
      return { kind: 'deny', status, headers, body: Buffer.concat(this.#chunks) };
    }
    return {
      kind: 'allow',
      requestHeaders: changesOf(fields, toUpstream, 'set'),
      headersToRemove: toRemove,
      responseHeaders: changesOf(fields, onAllow, 'add'),
      queryToSet: [],
      queryToRemove: [],
    };
  }
}

function changesOf(
  fields: readonly string[],
  names: HeaderNames | null,
  action: HeaderChange['action'],
): HeaderChange[] {
  const changes: HeaderChange[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!;
    if (names === null || names.has(name)) changes.push({ name, value: fields[i + 1]!, action });
  }
  return changes;
}

function listMembers(lists: readonly string[]): string[] {
  const members: string[] = [];
  for (const list of lists) {
    for (let member = nextMember(list, 0); member !== null; member = nextMember(list, member.next))
      members.push(member.name);
  }
  return members;
}
