/** ext_authz over gRPC: what the provider is asked, and what each of its answers does. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PEER } from '../http/proxy-fixture.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { ask, KEY, startGrpcProvider, startGuarded } from './ext-authz-fixture.ts';
import type { CheckScript } from './ext-authz-fixture.ts';

checkLeaks();

const ALLOW: CheckScript = () => ({ status: { code: 0 } });

describe('a gRPC authorization provider', () => {
  it('is asked about what a rule matches, and about nothing else', async () => {
    await using provider = await startGrpcProvider(ALLOW);
    await using guarded = await startGuarded({ port: provider.port });
    assert.equal((await ask(guarded.proxy, '/open')).status, 200);
    assert.equal(provider.calls.length, 0);
    assert.equal(guarded.counters.http.disabled, 1);
    assert.equal((await ask(guarded.proxy, '/asked')).status, 200);
    assert.equal(provider.calls.length, 1);
    assert.deepEqual(Object.assign({}, guarded.counters.http), {
      ok: 1,
      denied: 0,
      error: 0,
      disabled: 1,
      failureModeAllowed: 0,
      invalid: 0,
    });
    assert.equal(guarded.counters.cluster.ok, 1);
  });

  it('denies with its own status, fields and body', async () => {
    await using provider = await startGrpcProvider(() => ({
      status: { code: 7 },
      httpResponse: {
        case: 'deniedResponse',
        value: {
          status: { code: 401 },
          headers: [{ header: { key: 'WWW-Authenticate', value: 'Bearer' } }],
          body: 'no: é',
        },
      },
    }));
    await using guarded = await startGuarded({ port: provider.port });
    const answer = await ask(guarded.proxy);
    assert.equal(answer.status, 401);
    assert.equal(answer.header('www-authenticate'), 'Bearer');
    assert.equal(Buffer.from(answer.body, 'latin1').toString(), 'no: é');
    assert.equal(guarded.app.requests.length, 0);
    const entry = await guarded.proxy.entry();
    assert.equal(entry.responseCodeDetails, 'ext_authz_denied');
    assert.equal(entry.responseFlags, 'UAEX');
    const line = guarded.proxy.logs.find(({ code }) => code === 'ext_authz_denied');
    assert.match(String(Reflect.get(line!.fields, 'why')), new RegExp(`provider opa: it answered 401`));
    assert.ok(String(Reflect.get(line!.fields, 'why')).includes(KEY));
  });

  it('is told of both identities', async () => {
    await using provider = await startGrpcProvider(ALLOW);
    await using guarded = await startGuarded({ port: provider.port, proxy: { peer: PEER } });
    await ask(guarded.proxy, '/a/../b?c=d', 'x-role: a\r\nx-role: b\r\n');
    const { attributes } = (await provider.call()).check;
    assert.equal(attributes?.source?.principal, PEER.spiffeId);
    assert.equal(attributes.destination?.principal, 'spiffe://cluster.local/ns/foo/sa/httpbin');
    const http = attributes.request?.http;
    assert.equal(http?.path, '/b?c=d');
    assert.equal(http.headers['x-role'], 'a,b');
    assert.equal(http.headers[':path'], '/b?c=d');
    assert.equal(http.scheme, 'https');
  });
});
