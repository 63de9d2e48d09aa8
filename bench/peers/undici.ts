/** The data path of a Node user who counts: an undici pool behind node:https, answers streamed. */
import type { IncomingHttpHeaders } from 'node:http';
import { Pool } from 'undici';
import { APP_PORT, startHttpsFront } from './https-front.ts';

const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

const pool = new Pool(`http://127.0.0.1:${APP_PORT}`, { connections: 128, pipelining: 1 });

function withoutHopByHop(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  for (const name of HOP_BY_HOP) if (headers[name] !== undefined) delete headers[name];
  return headers;
}

startHttpsFront((request, response) => {
  const { headers } = request;
  const hasBody = headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
  pool.stream(
    {
      path: request.url ?? '/',
      method: request.method ?? 'GET',
      headers: withoutHopByHop(headers),
      body: hasBody ? request : null,
      opaque: response,
    },
    (answer) => {
      return answer.opaque.writeHead(answer.statusCode, withoutHopByHop(answer.headers));
    },
    (error) => {
      if (error === null) return;
      if (!response.headersSent) response.writeHead(502);
      response.end();
    },
  );
});
