/**
 * What Envoy's connection manager sees to at the edge of the workload: `x-envoy-*` from outside is removed
 * (these names steer a proxy, and a private address makes nobody internal), `x-request-id` and
 * `x-forwarded-proto` are always there afterwards, once each.
 */
import { randomUUID } from 'node:crypto';
import { CONTINUE } from '../http/filter.ts';
import type { Filter, RequestContext, Verdict } from '../http/filter.ts';

/** A longer id from a client is replaced: it goes into every log line. */
const MAX_REQUEST_ID_LENGTH = 256;

export class EdgeFieldsFilter implements Filter {
  readonly name = 'edge-fields';

  onRequest(request: RequestContext): Verdict {
    const { fields } = request.head;
    let hasId = false;
    let hasProto = false;
    let to = 0;
    for (let from = 0; from < fields.length; from += 2) {
      const name = fields[from]!;
      // Nearly every name ends this test at its first letter.
      if (name.charCodeAt(0) === 0x78) {
        if (name.startsWith('x-envoy-')) continue;
        if (name === 'x-request-id') {
          const length = fields[from + 1]!.length;
          if (hasId || length === 0 || length > MAX_REQUEST_ID_LENGTH) continue;
          hasId = true;
        } else if (name === 'x-forwarded-proto') {
          const value = fields[from + 1]!;
          if (hasProto || (value !== 'http' && value !== 'https')) continue;
          hasProto = true;
        }
      }
      if (to !== from) {
        fields[to] = name;
        fields[to + 1] = fields[from + 1]!;
      }
      to += 2;
    }
    fields.length = to;
    if (!hasProto) fields.push('x-forwarded-proto', request.connection.tls ? 'https' : 'http');
    if (!hasId) fields.push('x-request-id', randomUUID());
    return CONTINUE;
  }
}
