/**
 * MeshConfig.extensionProviders: those that CUSTOM policies can name. The others carry telemetry, which is not sent.
 * (API: istio.mesh.v1alpha1 MeshConfig.ExtensionProvider)
 */
import { parseDuration } from './duration.ts';
import type { FieldReader } from './field-reader.ts';
import { headerPatternFault, writtenHeaderFault, writtenPatternFault } from './header-names.ts';
import { isDnsName, isLabel } from './istio-names.ts';
import { readValues } from './policy-values.ts';
import type { ValueCheck } from './policy-values.ts';
import type { ExtAuthzExtension } from './resources.ts';
import { shown } from './yaml-tree.ts';

const KINDS = ['envoyExtAuthzHttp', 'envoyExtAuthzGrpc'] as const;
const DEFAULT_TIMEOUT_MS = 600_000;
const MAX_BODY_BYTES = 4_294_967_295;
/** Envoy's StatusCode that can be an answer: those below 200 are none. */
const STATUS_CODES = new Set(
  [
    [200, 201, 202, 203, 204, 205, 206, 207, 208, 226],
    [300, 301, 302, 303, 304, 305, 307, 308],
    [400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417],
    [421, 422, 423, 424, 426, 428, 429, 431],
    [500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511],
  ].flat(),
);

export function readExtAuthzProviders(mesh: FieldReader): ExtAuthzExtension[] {
  const providers: ExtAuthzExtension[] = [];
  const ignored: string[] = [];
  const names = new Set<string>();
  for (const entry of mesh.objects('extensionProviders')) {
    const name = readName(entry, names);
    const stated = entry.names().filter((field) => field !== 'name' && entry.has(field));
    if (stated.length !== 1) {
      const message = `the provider has ${stated.length === 0 ? 'no kind' : stated.join(' and ')}`;
      entry.reportSelf('conflict', message, 'write exactly one kind, like envoyExtAuthzGrpc');
      continue;
    }
    const kind = KINDS.find((known) => known === stated[0]);
    const reader = kind === undefined ? null : entry.object(kind);
    if (kind === undefined) ignored.push(name);
    else if (reader !== null) providers.push(readProvider(entry, name, reader, kind));
  }
  if (ignored.length > 0) {
    const listed = ignored
      .slice(0, 5)
      .map((name) => `"${shown(name)}"`)
      .join(', ');
    const more = ignored.length > 5 ? ` and ${ignored.length - 5} more` : '';
    const message = `extensionProviders ${listed}${more} have no effect: nothing is sent to them`;
    mesh.report('extensionProviders', 'ignored_field', message, 'remove them, or leave them', 'warning');
  }
  return providers;
}

function readName(entry: FieldReader, names: Set<string>): string {
  const name = entry.text('name') ?? '';
  if (name === '') entry.report('name', 'missing_field', 'the provider has no name', 'add name');
  else if (names.has(name)) {
    const message = `a second provider named "${shown(name)}"`;
    entry.reportValue('name', 'duplicate_resource', message, 'give each its own name');
  }
  names.add(name);
  return name;
}

function readProvider(
  entry: FieldReader,
  name: string,
  reader: FieldReader,
  kind: (typeof KINDS)[number],
): ExtAuthzExtension {
  if (name !== '' && !isLabel(name)) {
    const message = `"${shown(name)}" is not a name of a provider`;
    entry.reportValue('name', 'bad_value', message, 'use a-z, 0-9 and "-", at most 63 characters');
  }
  if (reader.boolean('clearRouteCache') !== null) {
    const message = 'clearRouteCache has no effect: an inbound request has one route';
    reader.report('clearRouteCache', 'ignored_field', message, 'remove it, or leave it', 'warning');
  }
  const isHttp = kind === 'envoyExtAuthzHttp';
  const lists = (field: string, check: ValueCheck): string[] =>
    isHttp ? readValues(reader, field, check).map((text) => text.toLowerCase()) : [];
  const inCheck = lists('includeRequestHeadersInCheck', headerPatternFault);
  const oldInCheck = lists('includeHeadersInCheck', headerPatternFault);
  return {
    kind: isHttp ? 'http' : 'grpc',
    name,
    service: readService(reader),
    port: readNumber(reader, 'port', 1, 65_535) ?? 0,
    timeoutMs: readTimeout(reader),
    failOpen: reader.boolean('failOpen') ?? false,
    statusOnError: readStatus(reader),
    body: readBody(reader),
    pathPrefix: isHttp ? readPathPrefix(reader) : '',
    includeRequestHeadersInCheck: inCheck.length > 0 ? inCheck : oldInCheck,
    includeAdditionalHeadersInCheck: isHttp ? readAdditionalHeaders(reader) : [],
    headersToUpstreamOnAllow: lists('headersToUpstreamOnAllow', writtenPatternFault),
    headersToDownstreamOnDeny: lists('headersToDownstreamOnDeny', headerPatternFault),
    headersToDownstreamOnAllow: lists('headersToDownstreamOnAllow', headerPatternFault),
  };
}

/** `[namespace/]host`. */
function readService(reader: FieldReader): string {
  const text = reader.text('service') ?? '';
  if (text === '') {
    reader.report('service', 'missing_field', 'the provider has no service', 'add service');
    return '';
  }
  const parts = text.split('/');
  const host = parts.at(-1) ?? '';
  const namespace = parts.length === 2 ? (parts[0] ?? '') : null;
  if (parts.length > 2 || !isDnsName(host) || (namespace !== null && !isLabel(namespace))) {
    const message = `"${shown(text)}" is not a service`;
    reader.reportValue(
      'service',
      'bad_value',
      message,
      'write [NAMESPACE/]HOST, like opa.foo.svc.cluster.local',
    );
  }
  return text.toLowerCase();
}

/** Istio's own examples write ports in quotes: the JSON form of protobuf takes both. */
function readNumber(reader: FieldReader, name: string, min: number, max: number): number | null {
  const node = reader.node(name);
  if (node?.kind !== 'scalar' || typeof node.value !== 'string') {
    const value = reader.integer(name, min, max);
    if (node === null) reader.report(name, 'missing_field', `${name} is missing`, `add ${name}`);
    return value;
  }
  const value = /^[1-9]\d{0,9}$/.test(node.value) ? Number(node.value) : 0;
  if (value >= min && value <= max) return value;
  const message = `"${shown(node.value)}" is outside ${min} to ${max}`;
  reader.reportValue(name, 'out_of_range', message, `write a number from ${min} to ${max}`);
  return null;
}

function readTimeout(reader: FieldReader): number {
  const text = reader.text('timeout');
  if (text === null) return DEFAULT_TIMEOUT_MS;
  const timeoutMs = parseDuration(text);
  if (timeoutMs !== null && timeoutMs > 0) return timeoutMs;
  const message = `"${shown(text)}" is not a time to wait`;
  reader.reportValue('timeout', 'bad_value', message, 'write it as 5s or 250ms');
  return DEFAULT_TIMEOUT_MS;
}

function readStatus(reader: FieldReader): number {
  const text = reader.text('statusOnError') ?? '';
  if (text === '') return 403;
  if (/^\d{3}$/.test(text) && STATUS_CODES.has(Number(text))) return Number(text);
  const message = `"${shown(text)}" is not a status code that Envoy can answer`;
  reader.reportValue('statusOnError', 'bad_value', message, 'write one like "403" or "503"');
  return 403;
}

function readBody(reader: FieldReader): ExtAuthzExtension['body'] {
  const body = reader.object('includeRequestBodyInCheck');
  if (body === null) return null;
  return {
    maxRequestBytes: readNumber(body, 'maxRequestBytes', 1, MAX_BODY_BYTES) ?? 1,
    allowPartialMessage: body.boolean('allowPartialMessage') ?? false,
    packAsBytes: body.boolean('packAsBytes') ?? false,
  };
}

function readPathPrefix(reader: FieldReader): string {
  const prefix = reader.text('pathPrefix') ?? '';
  // It stands in a request line: no blank, no query, no control.
  if (prefix === '' || /^\/[!-"$->@-~]*$/.test(prefix)) return prefix;
  const message = `"${shown(prefix)}" is not the beginning of a path`;
  reader.reportValue('pathPrefix', 'bad_value', message, 'begin it with "/", without blanks, "?" or "#"');
  return '';
}

function readAdditionalHeaders(reader: FieldReader): string[] {
  const headers = reader.object('includeAdditionalHeadersInCheck');
  const fields: string[] = [];
  for (const [name, value] of Object.entries(reader.textMap('includeAdditionalHeadersInCheck') ?? {})) {
    const fault = writtenHeaderFault(name);
    if (fault !== null) headers?.report(name, fault.code, fault.message, fault.fix);
    if (/[^\t -~\u0080-\u00ff]/.test(value)) {
      headers?.reportValue(
        name,
        'bad_value',
        'the value has a character that no header can have',
        'remove it',
      );
    }
    fields.push(name.toLowerCase(), value);
  }
  return fields;
}
