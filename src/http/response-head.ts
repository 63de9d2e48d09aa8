/**
 * Builds the head of an answer from a scanned one (RFC 9112 §4, §6.3), as strictly as requests: an answer
 * that two readers could cut differently is not forwarded.
 */
import type { ErrorCodeName } from '../core/errors.ts';
import type { ResponseHead } from './exchange.ts';
import type { Fields } from './fields.ts';
import type { HeadScanner } from './head-scanner.ts';
import { BODY_CHUNKED, BODY_UNTIL_CLOSE } from './message-reader.ts';
import { HopFacts, readFields } from './read-fields.ts';
import { phraseOf } from './status-phrases.ts';

export class Http1ResponseHead implements ResponseHead {
  status: number;
  reason: string;
  readonly fields: Fields = [];
  bodyLength = 0;
  /** -1: not stated. */
  statedLength = -1;
  /** How the body is read: a length, or one of the reader's answers. */
  framing = 0;
  keepsConnection = true;
  /** Seconds after which the upstream said it will close an idle connection; 0: not said. */
  keepAliveSeconds = 0;

  constructor(status: number, reason: string) {
    this.status = status;
    this.reason = reason;
  }
}

export interface ResponseProblem {
  readonly code: ErrorCodeName;
  readonly detail: string;
}

export class ResponseHeadBuilder {
  readonly #hop = new HopFacts();

  build(
    scanner: HeadScanner,
    text: string,
    origin: number,
    method: string,
  ): Http1ResponseHead | ResponseProblem {
    const status = scanner.status;
    const reason = text.substring(scanner.targetStart - origin, scanner.targetEnd - origin);
    const head = new Http1ResponseHead(status, reason === phraseOf(status) ? '' : reason);
    const hop = this.#hop;
    const problem = readFields(scanner, text, origin, head.fields, hop);
    if (problem !== null) return problem;
    if (status === 101) return { code: 'upstream_protocol_error', detail: '101 without an upgrade' };
    const old = scanner.minorVersion === 0;
    if (old && hop.chunked)
      return { code: 'upstream_protocol_error', detail: 'Transfer-Encoding in HTTP/1.0' };
    head.keepsConnection = old ? hop.keepAlive && !hop.close : !hop.close;
    head.keepAliveSeconds = hop.keepAliveSeconds;
    if (status < 200) {
      if (hop.contentLength > 0 || hop.chunked)
        return { code: 'upstream_protocol_error', detail: `${status} with a body` };
      return head;
    }
    if (method === 'HEAD' || status === 304) {
      // The length that a GET would have; it says nothing of this message.
      head.statedLength = hop.contentLength;
    } else if (status === 204) {
      if (hop.contentLength > 0 || hop.chunked)
        return { code: 'upstream_protocol_error', detail: '204 with a body' };
    } else if (hop.chunked) {
      head.bodyLength = -1;
      head.framing = BODY_CHUNKED;
    } else if (hop.contentLength >= 0) {
      head.bodyLength = hop.contentLength;
      head.framing = hop.contentLength;
    } else {
      head.bodyLength = -1;
      head.framing = BODY_UNTIL_CLOSE;
      head.keepsConnection = false;
    }
    return head;
  }
}
