/** The two promises of the codec against llhttp, as runs of a chosen length. */
import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { Http1RequestHead } from '../../src/http/request-head.ts';
import { runCodec } from './codec-events.ts';
import type { CodecMessage, CodecRun } from './codec-events.ts';
import { LlhttpOracle } from './llhttp-oracle.ts';
import type { OracleRequest } from './llhttp-oracle.ts';
import { mutatedRequest, validRequest } from './request-generator.ts';

const AFTER = 'GET /after HTTP/1.1\r\nhost: after\r\n\r\n';

/** What ends at this hop, or may not pass in this spelling: left out of both sides before they are compared. */
const REMOVED = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);

/** Names that `_` for `-` must not spell. */
const ALIASED =
  /^(x-forwarded-(client-cert|for|host|proto)|x-request-id|x-envoy-.*|host|te|expect|cookie|authorization)$/;

/** Methods that llhttp does not know are refused by it and carried by us (RFC 9110 §16.1). */
const { METHODS } = await import('node:http');
const KNOWN_METHODS = new Set(METHODS);

function endToEnd(fields: readonly string[]): string[] {
  const listed = new Set<string>();
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== 'connection') continue;
    for (const option of fields[i + 1]!.split(',')) listed.add(option.split(';')[0]!.trim().toLowerCase());
  }
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!;
    if (REMOVED.has(name) || listed.has(name)) continue;
    if (name.includes('_') && ALIASED.test(name.replaceAll('_', '-'))) continue;
    kept.push(name, fields[i + 1]!);
  }
  return kept;
}

interface Comparable {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly host: string;
  readonly fields: readonly string[];
  readonly body: string;
  readonly trailers: readonly string[];
}

function ours(message: CodecMessage): Comparable {
  const { head, body, trailers } = message;
  assert.ok(head instanceof Http1RequestHead);
  return {
    method: head.method,
    target: head.rawTarget,
    version: head.version,
    host: head.authority,
    fields: head.fields,
    body: body.toString('latin1'),
    trailers: trailers ?? [],
  };
}

function theirs(request: OracleRequest, like: Comparable): Comparable {
  const { fields } = request;
  const at = fields.findIndex((name, index) => index % 2 === 0 && name === 'host');
  const absolute = /^https?:\/\/([^/?#]*)/i.exec(request.target)?.[1];
  return {
    method: request.method,
    target: request.target,
    version: request.version,
    host: absolute ?? (at === -1 ? '' : fields[at + 1]!),
    fields: endToEnd(fields),
    body: request.body,
    // Fields that have no place in trailers are left out, never changed.
    trailers: like.trailers.length === 0 ? [] : request.trailers,
  };
}

/** The requests of a run that the connection would have carried out. */
function carried(run: CodecRun): Comparable[] {
  const list: Comparable[] = [];
  for (const message of run.messages) {
    if (!message.ended) break;
    list.push(ours(message));
    if ((message.head as Http1RequestHead).lastOnConnection) break;
  }
  return list;
}

async function compare(oracle: LlhttpOracle, text: string): Promise<Comparable[]> {
  const bytes = Buffer.from(text + AFTER, 'latin1');
  const run = runCodec([bytes]);
  const mine = carried(run);
  if (mine.length === 0) return mine;
  const known = mine.findIndex(({ method }) => !KNOWN_METHODS.has(method));
  const comparable = known === -1 ? mine : mine.slice(0, known);
  const read = await oracle.read(bytes);
  const other = read.slice(0, comparable.length).map((request, index) => theirs(request, comparable[index]!));
  assert.deepEqual(comparable, other, `differs on ${JSON.stringify(text)}`);
  return mine;
}

/** Inputs that once were read apart, tried first in every run. */
const FOUND: [string][] = [['GET / HTTP/1.1\r\nHost: a\r\nExpect:\r\n\r\n']];

export interface FuzzFigures {
  readonly inputs: number;
  /** Inputs of which at least one request was carried out. */
  readonly accepted: number;
}

/** Whatever we accept llhttp accepts as the same; answers how many were accepted. */
export async function fuzzMutated(runs: number, seed: number, untilMs: number): Promise<FuzzFigures> {
  const oracle = new LlhttpOracle();
  let inputs = 0;
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(mutatedRequest, async (text) => {
      inputs++;
      if ((await compare(oracle, text)).length > 0) accepted++;
    }),
    { numRuns: runs, seed, examples: FOUND, interruptAfterTimeLimit: untilMs, markInterruptAsFailure: false },
  );
  return { inputs, accepted };
}

/** All that RFC 9112 allows is accepted, and read as llhttp reads it. */
export async function fuzzValid(runs: number, seed: number, untilMs: number): Promise<FuzzFigures> {
  const oracle = new LlhttpOracle();
  let inputs = 0;
  await fc.assert(
    fc.asyncProperty(validRequest, async (text) => {
      inputs++;
      const run = runCodec([Buffer.from(text + AFTER, 'latin1')]);
      assert.equal(run.refusal, null, `refused ${JSON.stringify(text)}`);
      const read = await compare(oracle, text);
      const last = (run.messages[0]!.head as Http1RequestHead).lastOnConnection;
      assert.equal(read.length, last ? 1 : 2, `read ${read.length} of ${JSON.stringify(text)}`);
    }),
    { numRuns: runs, seed, interruptAfterTimeLimit: untilMs, markInterruptAsFailure: false },
  );
  return { inputs, accepted: inputs };
}
