/**
 * A Rego policy decided by a real OPA. OPA's Envoy plugin is not to be had here, so the server in `ext-authz-go` asks
 * OPA's REST API with the plugin's input and gives the plugin's answers.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { askingDocuments, customPolicy, NOT_OPEN } from '../flow/ext-authz-mesh.ts';
import { FlowMesh, get, SLEEP_ID } from '../flow/flow-mesh.ts';
import type { InProcess } from '../flow/flow-mesh.ts';
import { startEchoApp } from '../support/echo-app.ts';
import type { EchoApp } from '../support/echo-app.ts';
import type { HttpResponse } from '../support/http-response-reader.ts';
import { connectRaw } from '../support/raw-client.ts';
import { ExtAuthzServer, OpaServer, SKIP_WITHOUT_OPA } from './ext-authz-server.ts';

describe('a Rego policy decided by OPA', { skip: SKIP_WITHOUT_OPA }, () => {
  let opa: OpaServer;
  let server: ExtAuthzServer;
  let app: EchoApp;
  let mesh: FlowMesh;
  let sidecar: InProcess;

  before(async () => {
    opa = await OpaServer.start();
    server = await ExtAuthzServer.start(opa.url);
    app = await startEchoApp();
    mesh = await FlowMesh.create({
      appPort: app.port,
      documents: askingDocuments(
        app.port,
        [{ kind: 'grpc', port: server.grpcPort, fields: 'statusOnError: "503"' }],
        customPolicy('authz', NOT_OPEN),
      ),
    });
    sidecar = await mesh.inProcess();
  });

  after(async () => {
    await sidecar.close();
    mesh[Symbol.dispose]();
    await app.close();
    await server.kill();
    await opa.kill();
  });

  async function ask(request: string, asPeer = true): Promise<HttpResponse> {
    using client = asPeer ? await mesh.connect(sidecar.port) : await connectRaw({ port: sidecar.port });
    await client.write(request);
    return await client.readResponse();
  }

  it('allows, with fields for the app and for the client, and takes one away', async () => {
    const seen = app.seen.length;
    const answer = await ask(get('/orders', 'x-internal-secret: s', 'x-opa-caller: spoof'));
    assert.equal(answer.status, 200);
    assert.equal(answer.header('x-opa-answer'), 'seen');
    const { headers } = app.seen[seen]!;
    assert.deepEqual(
      headers.filter(([name]) => name.startsWith('x-opa') || name.startsWith('x-internal')),
      [
        ['x-opa', 'allowed'],
        ['x-opa-caller', SLEEP_ID],
      ],
    );
  });

  it('denies with 403 and a body', async () => {
    const seen = app.seen.length;
    const answer = await ask(get('/orders').replace('GET', 'DELETE'));
    assert.deepEqual(
      [answer.status, answer.body.toString(), answer.header('content-type'), answer.header('x-opa')],
      [403, '{"error":"not allowed by policy"}', 'application/json', 'denied'],
    );
    assert.equal(app.seen.length, seen);
  });

  it('denies who shows no identity with 401, and lets them read what is public', async () => {
    const denied = await ask(get('/orders'), false);
    assert.deepEqual([denied.status, denied.header('www-authenticate')], [401, 'Bearer']);
    assert.equal((await ask(get('/healthz'), false)).status, 200);
    assert.equal((await ask(get('//healthz'), false)).status, 401);
    assert.equal((await ask(get('/a/../healthz?x'), false)).status, 200);
  });

  it('sees each value of a repeated field', async () => {
    const request = get('/orders', 'x-role: user', 'x-role: admin').replace('GET', 'DELETE');
    assert.equal((await ask(request)).status, 200);
  });

  it('is an error without OPA, and no request goes on', async () => {
    await opa.kill();
    const seen = app.seen.length;
    assert.equal((await ask(get('/orders'))).status, 503);
    assert.equal(app.seen.length, seen);
  });
});
