/**
 * ext_authz with a server on the official messages (grpc-go), whole and in every bad way: killed, hung, late, speaking
 * garbage. The long test runs more requests.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { askingDocuments, customPolicy, NOT_OPEN } from '../flow/ext-authz-mesh.ts';
import { FlowMesh, get, SLEEP_ID } from '../flow/flow-mesh.ts';
import { startEchoApp } from '../support/echo-app.ts';
import type { Echo } from '../support/echo-app.ts';
import { runFailing, TROUBLES } from './ext-authz-failing.ts';
import { ExtAuthzServer, SKIP_WITHOUT_GO } from './ext-authz-server.ts';

const DENIED = 'denied by ext_authz for not found header `x-ext-authz: allow` in the request';

describe('ext_authz with a server on the official messages', { skip: SKIP_WITHOUT_GO }, () => {
  let server: ExtAuthzServer;

  before(async () => {
    server = await ExtAuthzServer.start();
  });

  after(() => server.kill());

  for (const kind of ['grpc', 'http'] as const) {
    it(`${kind}: allows with fields for the app, and denies with a body`, async () => {
      await using app = await startEchoApp();
      using mesh = await FlowMesh.create({
        appPort: app.port,
        documents: askingDocuments(
          app.port,
          [
            {
              kind,
              port: kind === 'grpc' ? server.grpcPort : server.httpPort,
              fields:
                kind === 'grpc'
                  ? ''
                  : 'includeRequestHeadersInCheck: [x-ext-authz], headersToUpstreamOnAllow: ["x-ext-authz-*"], ' +
                    'includeAdditionalHeadersInCheck: {x-ext-authz-additional-header-override: http-additional-header-override-value}',
            },
          ],
          customPolicy('authz', NOT_OPEN),
        ),
      });
      await using sidecar = await mesh.inProcess();
      using client = await mesh.connect(sidecar.port);
      await client.write(get('/a?b', 'x-ext-authz: allow'));
      const allowed = await client.readResponse();
      assert.equal(allowed.status, 200);
      const echo = JSON.parse(allowed.body.toString()) as Echo;
      const received = echo.headers.filter(([name]) => name.startsWith('x-ext-authz-'));
      assert.deepEqual(received, [
        ['x-ext-authz-additional-header-override', `${kind}-additional-header-override-value`],
        ...(kind === 'grpc'
          ? [
              ['x-ext-authz-check-received', `GET /a?b ${SLEEP_ID}`],
              ['x-ext-authz-check-result', 'allowed'],
            ]
          : [
              ['x-ext-authz-check-received', 'GET /a?b'],
              ['x-ext-authz-check-result', 'allowed'],
            ]),
      ]);
      await client.write(get('/a', 'x-ext-authz: deny'));
      const denied = await client.readResponse();
      assert.deepEqual([denied.status, denied.body.toString()], [403, DENIED]);
      assert.equal(denied.header('x-ext-authz-check-result'), 'denied');
      assert.equal(app.seen.length, 1);
    });
  }
});

describe('ext_authz with a server in trouble', { skip: SKIP_WITHOUT_GO }, () => {
  for (const kind of ['grpc', 'http'] as const) {
    for (const trouble of TROUBLES) {
      for (const failOpen of [false, true]) {
        it(`${kind}, ${trouble}, failOpen ${failOpen}`, () =>
          runFailing({ kind, trouble, failOpen, count: trouble === 'killed in between' ? 300 : 60 }));
      }
    }
  }
});
