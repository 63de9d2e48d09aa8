/**
 * Request files: YAML with positions → requests to judge. Every key that is not known is an error.
 */
import { isIP } from 'node:net';
import { CONFIG_LIMITS } from '../config/config-limits.ts';
import { describe, FieldReader } from '../config/field-reader.ts';
import { hasErrors, ProblemList } from '../config/problem.ts';
import type { Problem } from '../config/problem.ts';
import { fileSource } from '../config/source-text.ts';
import { parseYaml, shown } from '../config/yaml-tree.ts';
import type { TreeNode } from '../config/yaml-tree.ts';
import { SpiffeId } from '../svid/spiffe-id.ts';
import type { ExplainRequest, ProviderAnswer, StatedHttp, StatedToken } from './explain-request.ts';

/** Keys of a request document. */
export const REQUEST_KEYS = ['to', 'from', 'tls', 'request', 'jwt', 'extAuthz', 'tcp'] as const;

const ANSWERS: readonly ProviderAnswer[] = ['allow', 'deny', 'error'];
/** Headers that are keys of `request`. */
const OWN_KEYS: ReadonlyMap<string, string> = new Map([
  ['host', 'host'],
  [':authority', 'host'],
  [':method', 'method'],
  [':path', 'path'],
]);
/** More names say no more than this many; a head has fewer fields than that anyway. */
const MAX_LIST = 1_000;

export interface ReadRequests {
  /** Empty where a problem is an error. */
  readonly requests: readonly ExplainRequest[];
  readonly problems: readonly Problem[];
}

/** Reads all documents of a request file; `file` is its name for messages. */
export function readExplainRequests(text: string, file: string): ReadRequests {
  const problems = new ProblemList(CONFIG_LIMITS.maxProblems);
  const requests: ExplainRequest[] = [];
  for (const reader of readDocuments(text, file, problems)) {
    reader.refuseUnknown(REQUEST_KEYS, 'a request');
    requests.push(readExplainRequest(reader));
  }
  if (requests.length === 0 && problems.sorted().length === 0) {
    const place = { file, line: 1, column: 1 };
    problems.add(
      'error',
      'empty',
      place,
      '',
      'no request is there',
      'write one like {request: {path: /info}}',
    );
  }
  const sorted = problems.sorted();
  return { requests: hasErrors(sorted) ? [] : requests, problems: sorted };
}

/** The mappings of a YAML text, one a document; anything else is noted. */
export function readDocuments(text: string, file: string, problems: ProblemList): FieldReader[] {
  const parsed = parseYaml(text);
  const source = fileSource(file, parsed.lineColumn);
  for (const { offset, code, message, fix } of parsed.problems) {
    problems.add('error', code, source.at(offset), '', message, fix);
  }
  const readers: FieldReader[] = [];
  for (const tree of parsed.documents) {
    if (tree.kind === 'map') readers.push(new FieldReader(tree, '', source, problems));
    else {
      const message = `${describe(tree)} is not a mapping`;
      const fix = `write keys like ${REQUEST_KEYS.slice(0, 4).join(', ')}`;
      problems.add('error', 'not_a_document', source.at(tree.offset), '', message, fix);
    }
  }
  return readers;
}

/** Reads one request; what is wrong is noted, and the request is then not to be used. */
export function readExplainRequest(reader: FieldReader): ExplainRequest {
  for (const key of REQUEST_KEYS) refuseAbsentValues(reader, key);
  const tcp = reader.boolean('tcp') === true;
  if (tcp) {
    for (const name of ['request', 'jwt']) {
      if (reader.has(name)) {
        reader.report(name, 'conflict', `a TCP connection has no "${name}"`, `remove it, or tcp: true`);
      }
    }
  }
  const to = reader.object('to');
  to?.refuseUnknown(['port', 'ip'], 'to');
  return {
    to: { port: to?.integer('port', 1, 65_535) ?? null, ip: to === null ? '' : readIp(to) },
    from: readFrom(reader),
    tls: readTls(reader),
    http: tcp ? null : readHttp(reader),
    extAuthz: readExtAuthz(reader),
  };
}

/** Inside a key, names without a value: `from: {principal: }` is not meant as plaintext. Claims may be null. */
function refuseAbsentValues(reader: FieldReader, key: string): void {
  const node = reader.node(key);
  if (node?.kind !== 'map' || key === 'jwt') return;
  const inner = reader.object(key)!;
  for (const name of inner.names()) {
    if (inner.has(name)) refuseAbsentValues(inner, name);
    else inner.report(name, 'missing_field', `${shown(name)} has no value`, 'write its value, or remove it');
  }
}

function readIp(reader: FieldReader): string {
  const ip = reader.text('ip');
  if (ip === null || isIP(ip) !== 0) return ip ?? '';
  reader.reportValue('ip', 'bad_value', `"${shown(ip)}" is not an IP address`, 'write one like 10.0.0.9');
  return '';
}

function readFrom(reader: FieldReader): ExplainRequest['from'] {
  const plaintext = { sans: null, ip: '' };
  const node = reader.node('from');
  if (node?.kind === 'scalar') {
    if (node.value === 'plaintext') return plaintext;
    const fix = 'write plaintext, or {principal: cluster.local/ns/foo/sa/sleep}';
    reader.reportValue('from', 'bad_value', `${describe(node)} is not "plaintext" or a mapping`, fix);
    return plaintext;
  }
  const from = reader.object('from');
  if (from === null) return plaintext;
  from.refuseUnknown(['principal', 'sans', 'ip'], 'from');
  const ip = readIp(from);
  if (from.has('principal') && from.has('sans')) {
    from.report('sans', 'conflict', 'principal and sans are both there', 'keep one of them');
  }
  if (from.has('sans')) return { sans: from.texts('sans').slice(0, MAX_LIST), ip };
  const principal = from.text('principal');
  return { sans: principal === null ? null : [readPrincipal(from, principal)], ip };
}

function readPrincipal(from: FieldReader, principal: string): string {
  const id = principal.startsWith('spiffe://') ? principal : `spiffe://${principal}`;
  const parsed = SpiffeId.tryParse(id);
  if (parsed instanceof SpiffeId) return id;
  const fix = 'write it like cluster.local/ns/foo/sa/sleep, or state a certificate as it is with sans';
  const message = `"${shown(principal)}" is not a principal: ${parsed.problem}`;
  from.reportValue('principal', 'bad_value', message, fix);
  return id;
}

function readTls(reader: FieldReader): ExplainRequest['tls'] {
  const tls = reader.object('tls');
  if (tls === null) return null;
  tls.refuseUnknown(['sni', 'alpn'], 'tls');
  return { sni: tls.text('sni'), alpn: tls.has('alpn') ? tls.texts('alpn').slice(0, MAX_LIST) : null };
}

function readHttp(reader: FieldReader): StatedHttp {
  const request = reader.object('request');
  request?.refuseUnknown(['method', 'path', 'host', 'headers'], 'request');
  return {
    method: request?.text('method') ?? 'GET',
    path: request?.text('path') ?? '/',
    host: request?.text('host') ?? 'localhost',
    headers: request === null ? [] : readHeaders(request),
    jwt: readJwt(reader),
  };
}

function readHeaders(request: FieldReader): string[] {
  const headers = request.object('headers');
  const fields: string[] = [];
  for (const name of headers?.names() ?? []) {
    const known = OWN_KEYS.get(name.toLowerCase());
    if (known !== undefined) {
      headers!.report(name, 'conflict', `"${name}" is not among the headers here`, `write request.${known}`);
    } else if (headers!.node(name)?.kind === 'list') {
      for (const value of headers!.texts(name)) fields.push(name, value);
    } else {
      const value = headers!.text(name);
      if (value !== null) fields.push(name, value);
    }
  }
  return fields;
}

function readJwt(reader: FieldReader): StatedToken | null {
  const jwt = reader.object('jwt');
  if (jwt === null) return null;
  jwt.refuseUnknown(['claims', 'token'], 'jwt');
  if (jwt.has('claims') === jwt.has('token')) {
    reader.report('jwt', 'conflict', 'jwt has not exactly one of claims and token', 'write one of them');
    return null;
  }
  const token = jwt.text('token');
  if (token !== null) return { kind: 'token', token };
  const claims = jwt.object('claims');
  if (claims === null) return null;
  for (const name of ['iss', 'sub']) claims.text(name);
  return { kind: 'claims', claims: plainObject(claims.map.entries) };
}

function plainObject(entries: ReadonlyMap<string, { readonly node: TreeNode }>): Record<string, unknown> {
  return Object.fromEntries([...entries].map(([name, { node }]) => [name, plainValue(node)]));
}

function plainValue(node: TreeNode): unknown {
  switch (node.kind) {
    case 'map':
      return plainObject(node.entries);
    case 'list':
      return node.items.map(plainValue);
    case 'scalar':
      return node.value;
    default:
      return node satisfies never;
  }
}

function readExtAuthz(reader: FieldReader): ExplainRequest['extAuthz'] {
  const node = reader.node('extAuthz');
  if (node === null) return () => null;
  if (node.kind === 'scalar') {
    const answer = reader.oneOf('extAuthz', ANSWERS);
    return () => answer;
  }
  const answers = new Map<string, ProviderAnswer | null>();
  const byProvider = reader.object('extAuthz');
  for (const name of byProvider?.names() ?? []) answers.set(name, byProvider!.oneOf(name, ANSWERS));
  return (provider) => answers.get(provider) ?? null;
}
