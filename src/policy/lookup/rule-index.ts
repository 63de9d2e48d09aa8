/**
 * From a request to the rules that it could match. Each rule stands under the keys of one of its fields, the one whose
 * keys the fewest other rules share; a rule without any (only `not` fields) is looked at every time.
 */
import type { CompiledRule } from '../compiled-rule.ts';
import type { BlockSubject, IndexKey, TextSubject } from '../fields/field.ts';
import type { PolicyConnection } from '../policy-connection.ts';
import type { RequestView } from '../request-view.ts';
import { findAccounts, findNamespaces } from './identity-steps.ts';
import { BlockLookup } from './block-lookup.ts';
import { ClaimLookups, HeaderLookups } from './named-lookups.ts';
import type { Postings, PostingsSink } from './postings.ts';
import { TextCollection, TextLookup } from './text-lookup.ts';

export class RuleIndex {
  /** Rules under no key. */
  readonly #always: readonly number[];
  readonly #texts: ReadonlyMap<TextSubject, TextLookup>;
  readonly #path: TextLookup | undefined;
  readonly #host: TextLookup | undefined;
  readonly #method: TextLookup | undefined;
  readonly #requestPrincipal: TextLookup | undefined;
  readonly #blocks = new Map<BlockSubject, BlockLookup>();
  readonly #client: BlockLookup | undefined;
  readonly #headers = new HeaderLookups();
  readonly #claims = new ClaimLookups();

  /** `rules` by rank. */
  constructor(rules: readonly CompiledRule[]) {
    const always: number[] = [];
    const texts = new Map<TextSubject, TextCollection>();
    for (const [rank, keys] of chooseCovers(rules).entries()) {
      if (keys === null) always.push(rank);
      else for (const key of keys) this.#add(key, rank, texts);
    }
    this.#always = always;
    this.#texts = new Map([...texts].map(([subject, collected]) => [subject, new TextLookup(collected)]));
    this.#path = this.#texts.get('path');
    this.#host = this.#texts.get('host');
    this.#method = this.#texts.get('method');
    this.#requestPrincipal = this.#texts.get('requestPrincipal');
    this.#client = this.#blocks.get('client');
    this.#headers.build();
    this.#claims.build();
  }

  /** What depends on the connection alone: asked for once a connection, see `PolicyConnection.postingsOf`. */
  findForConnection(connection: PolicyConnection): readonly Postings[] {
    const found = new Set<Postings>();
    const sink: PostingsSink = { consider: (postings) => found.add(postings) };
    if (this.#always.length > 0) found.add(this.#always);
    const { identities, sni, destinationPort } = connection.facts;
    for (const identity of identities) {
      this.#texts.get('identity')?.find(identity, sink);
      findNamespaces(this.#texts.get('namespace'), identity, sink);
      findAccounts(this.#texts.get('account'), identity, sink);
    }
    this.#texts.get('sni')?.find(sni, sink);
    this.#texts.get('port')?.find(String(destinationPort), sink);
    if (connection.peer !== null) this.#blocks.get('peer')?.find(connection.peer, sink);
    if (connection.destination !== null) this.#blocks.get('destination')?.find(connection.destination, sink);
    return [...found];
  }

  /** What depends on the request; on TCP that is the client, who is the peer there. */
  findForRequest(view: RequestView, sink: PostingsSink): void {
    this.#path?.find(view.path, sink);
    this.#method?.find(view.method, sink);
    if (this.#host !== undefined) {
      this.#host.find(view.host, sink);
      for (const form of view.hostForms) this.#host.find(form, sink);
    }
    if (this.#client !== undefined && view.client !== null) this.#client.find(view.client, sink);
    this.#headers.find(view, sink);
    const token = view.request?.token ?? null;
    if (token === null) return;
    this.#claims.find(token.payload, sink);
    if (this.#requestPrincipal === undefined) return;
    const issuer = view.stringClaim('iss');
    const subject = view.stringClaim('sub');
    if (issuer !== null && subject !== null) this.#requestPrincipal.find(`${issuer}/${subject}`, sink);
  }

  #add(key: IndexKey, rank: number, texts: Map<TextSubject, TextCollection>): void {
    switch (key.by) {
      case 'text': {
        let collected = texts.get(key.subject);
        if (collected === undefined) texts.set(key.subject, (collected = new TextCollection()));
        collected.add(key.key, rank);
        return;
      }
      case 'header':
        this.#headers.add(key.name, key.key, rank);
        return;
      case 'claim':
        this.#claims.add(key.path, key.key, rank);
        return;
      case 'block': {
        let lookup = this.#blocks.get(key.subject);
        if (lookup === undefined) this.#blocks.set(key.subject, (lookup = new BlockLookup()));
        lookup.add(key.block, rank);
      }
    }
  }
}

/** For each rule the keys that it is found by; null: none. */
function chooseCovers(rules: readonly CompiledRule[]): (readonly IndexKey[] | null)[] {
  const covers = rules.map((rule) => rule.covers());
  let users: ReadonlyMap<string, number> | null = null;
  return covers.map((choices) => {
    if (choices.length < 2) return choices[0] ?? null;
    users ??= countUsers(covers);
    let chosen: readonly IndexKey[] | null = null;
    let lowest = Infinity;
    for (const keys of choices) {
      let cost = 0;
      for (const key of keys) cost = Math.max(cost, (users.get(keyName(key)) ?? 0) + surcharge(key));
      if (cost < lowest) [chosen, lowest] = [keys, cost];
    }
    return chosen;
  });
}

/** By key: how many rules could stand under it. */
function countUsers(covers: readonly (readonly (readonly IndexKey[])[])[]): ReadonlyMap<string, number> {
  const users = new Map<string, number>();
  for (const keys of covers.flat()) {
    for (const key of keys) {
      const name = keyName(key);
      users.set(name, (users.get(name) ?? 0) + 1);
    }
  }
  return users;
}

function keyName(key: IndexKey): string {
  switch (key.by) {
    case 'text':
      return `${key.subject}\0${key.key.kind}\0${key.key.text}`;
    case 'header':
      return `header\0${key.name}\0${key.key.kind}\0${key.key.text}`;
    case 'claim':
      return `claim\0${key.path.join('\0')}\0${key.key.kind}\0${key.key.text}`;
    case 'block':
      return `${key.subject}\0${key.block.length}\0${key.block.words.join()}`;
    default:
      return key satisfies never;
  }
}

const ONCE_A_CONNECTION: ReadonlySet<string> = new Set(['identity', 'namespace', 'account', 'peer']);

/** Among keys of equally many rules: those of the connection first, whole texts before parts, any text last. */
function surcharge(key: IndexKey): number {
  if (key.by === 'block') return ONCE_A_CONNECTION.has(key.subject) ? 0.1 : 0.3;
  const ofConnection = key.by === 'text' && ONCE_A_CONNECTION.has(key.subject);
  return (ofConnection ? 0 : 0.2) + (key.key.kind === 'exact' ? 0 : 0.1) + (key.key.text === '' ? 0.5 : 0);
}
