/** A little of httpbin: /get, /headers, /ip, /status/CODE. It knows nothing of the mesh, and listens on loopback only. */
import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';

const ANSWERS = new Map<string, (request: IncomingMessage) => object>([
  ['/get', ({ url, headers }) => ({ url, headers })],
  ['/headers', ({ headers }) => ({ headers })],
  ['/ip', ({ socket }) => ({ origin: socket.remoteAddress })],
]);

const server = createServer((request, response) => {
  const [path = ''] = (request.url ?? '').split('?', 1);
  const answer = ANSWERS.get(path);
  request.resume();
  if (answer !== undefined) response.end(`${JSON.stringify(answer(request), null, 2)}\n`);
  else response.writeHead(Number(/^\/status\/([2-5]\d\d)$/.exec(path)?.[1] ?? 404)).end();
});
server.listen(3000, '127.0.0.1');
process.once('SIGTERM', () => process.exit());
