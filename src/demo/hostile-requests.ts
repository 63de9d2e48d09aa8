/** Scenario: requests from a peer with a good certificate that mean to be read in two ways. */
import type { Scenario } from './check.ts';
import { parseAppView } from './demo-app.ts';
import { getRequest } from './demo-mesh.ts';
import { SERVER_HOST } from './demo-names.ts';
import { statusOf } from './describe-exchange.ts';

/** Content-Length ends behind the second request, the last chunk before it (RFC 9112 §6.3). */
const SMUGGLED = `0\r\n\r\n${getRequest('/admin')}`;
const SMUGGLING =
  `POST /form HTTP/1.1\r\nhost: ${SERVER_HOST}\r\ncontent-length: ${SMUGGLED.length}\r\n` +
  `transfer-encoding: chunked\r\n\r\n${SMUGGLED}`;

export const hostileRequests: Scenario = {
  title: 'Hostile requests',
  checks: [
    {
      name: 'GET /app/../admin',
      expected: '200, the app saw /admin',
      async observe(mesh) {
        const done = await mesh.send(mesh.sleepItself(), getRequest('/app/../admin'));
        if (done.answer?.status !== 200) return { got: statusOf(done), notes: [] };
        return { got: `200, the app saw ${parseAppView(done.answer.body).path}`, notes: [] };
      },
    },
    {
      name: 'smuggled request',
      expected: '400 and closed, the app saw 0 requests; 200 after it',
      async observe(mesh) {
        const client = mesh.sleepItself();
        const before = mesh.apps['foo/httpbin'].requestsSeen;
        const done = await mesh.send(client, SMUGGLING);
        // An honest request behind it: whatever the other one left on the way to the app would have come by then.
        const after = await mesh.send(client, getRequest('/'));
        const honest = after.answer?.status === 200 ? 1 : 0;
        const seen = mesh.apps['foo/httpbin'].requestsSeen - before - honest;
        return {
          got: `${statusOf(done)} and closed, the app saw ${seen} requests; ${statusOf(after)} after it`,
          notes: ['sent with both Content-Length and Transfer-Encoding'],
        };
      },
    },
  ],
};
