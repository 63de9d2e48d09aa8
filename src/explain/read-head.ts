/**
 * A stated request as the HTTP/1.1 codec would read it off the wire: the same bytes through the same parser, so that
 * what it refuses is refused here, and what it changes (names in lower case, hop-by-hop fields) is changed here.
 */
import type { ErrorCodeName } from '../core/errors.ts';
import type { Limits } from '../core/limits.ts';
import { MessageReader, STOP_READING } from '../http/message-reader.ts';
import { Http1RequestHead, RequestHeadBuilder } from '../http/request-head.ts';
import type { StatedHttp } from './explain-request.ts';

/** Why the codec refuses it. */
export interface RefusedHead {
  readonly code: ErrorCodeName;
  readonly detail: string;
}

export function readHead(stated: StatedHttp, limits: Limits): Http1RequestHead | RefusedHead {
  const unwritable = findUnwritable(stated);
  if (unwritable !== null) return unwritable;
  let answer: Http1RequestHead | RefusedHead | null = null;
  const builder = new RequestHeadBuilder();
  const reader = new MessageReader('request', limits, {
    onHead: (scanner, text, origin) => {
      answer = builder.build(scanner, text, origin);
      return STOP_READING;
    },
    onBody: () => {},
    onMessageEnd: () => {},
    onReadError: (code, detail) => {
      answer = { code, detail };
    },
  });
  reader.push(headBytes(stated));
  reader.stop();
  // Assigned in a callback, which the compiler does not follow.
  return (
    (answer as Http1RequestHead | RefusedHead | null) ?? { code: 'bad_request_line', detail: 'no whole head' }
  );
}

/** As a client sends it; text that is not ASCII goes as UTF-8. */
export function headBytes({ method, path, host, headers }: StatedHttp): Buffer {
  let text = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n`;
  for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
  return Buffer.from(`${text}\r\n`);
}

/** What would end a line or a name early, and so be another head than the stated one. */
function findUnwritable({ method, path, host, headers }: StatedHttp): RefusedHead | null {
  if (/[\r\n]/.test(method)) return { code: 'bad_method', detail: `method ${quoted(method)}` };
  if (/[\r\n]/.test(path)) return { code: 'bad_target', detail: `path ${quoted(path)}` };
  if (/[\r\n]/.test(host)) return { code: 'bad_host', detail: `Host ${quoted(host)}` };
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!;
    if (/[\r\n:]/.test(name)) return { code: 'bad_header_name', detail: `field name ${quoted(name)}` };
    const value = headers[i + 1]!;
    if (/[\r\n]/.test(value))
      return { code: 'bad_header_value', detail: `value ${quoted(value)} of ${quoted(name)}` };
  }
  return null;
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}
