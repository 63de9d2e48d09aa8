/**
 * The values of one request header, and what Envoy's pseudo-headers are made of here.
 */
import type { PolicyFraming } from '../policy-request.ts';
import type { RequestView } from '../request-view.ts';

const NONE: readonly string[] = [];
const TE_TRAILERS: readonly string[] = ['trailers'];
const EXPECT_CONTINUE: readonly string[] = ['100-continue'];

/** All copies in order. Names begin with a colon only for pseudo-headers; `connection` is none of the request's. */
export function collectValues(view: RequestView, name: string): readonly string[] {
  const { request } = view;
  if (request === null || name === 'connection') return NONE;
  switch (name) {
    case ':authority':
      return [request.authority];
    case ':path':
      return [request.path];
    case ':method':
      return [request.method];
    case ':scheme':
      return [request.scheme];
    // The codec takes these out of the fields; Envoy's rules see them.
    case 'content-length':
      return contentLength(request.framing);
    case 'te':
      return request.framing.acceptsTrailers ? TE_TRAILERS : NONE;
    case 'expect':
      return request.framing.expectContinue ? EXPECT_CONTINUE : NONE;
    default:
      return copiesOf(request.fields, name);
  }
}

/** As Envoy fills a header's one slot: empty copies leave no comma. */
export function joinSlot(values: readonly string[]): string {
  return values.filter((value) => value !== '').join(',');
}

export function joinAll(values: readonly string[]): string {
  return values.join(',');
}

function contentLength({ bodyLength, statesEmptyBody }: PolicyFraming): readonly string[] {
  if (bodyLength > 0) return [String(bodyLength)];
  return statesEmptyBody ? ['0'] : NONE;
}

function copiesOf(fields: readonly string[], name: string): readonly string[] {
  let values: string[] | null = null;
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== name) continue;
    if (values === null) values = [fields[i + 1] ?? ''];
    else values.push(fields[i + 1] ?? '');
  }
  return values ?? NONE;
}
