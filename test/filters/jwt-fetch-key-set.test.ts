/** Fetching key sets: from where, how much, how long, and over which redirects. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import type { KeySetPlan } from '../../src/core/jwt-plan.ts';
import { addressFault } from '../../src/filters/fetch-key-set-address.ts';
import { fetchKeySet } from '../../src/filters/fetch-key-set.ts';
import type { KeySetText } from '../../src/filters/fetch-key-set.ts';
import { KeySetServer } from '../support/key-set-server.ts';
import { TestCa } from '../support/test-ca.ts';
import { TestIssuer } from '../support/test-tokens.ts';

const JWKS = new TestIssuer('a').jwks();

interface FetchForm {
  readonly allow?: readonly string[];
  readonly ownPorts?: readonly number[];
  readonly timeoutMs?: number;
  readonly issuer?: string;
  readonly maxJwksBytes?: number;
}

function fetchFrom(jwksUri: string, form: FetchForm = {}): Promise<KeySetText> {
  const {
    allow = ['127.0.0.0/8'],
    issuer = '',
    maxJwksBytes = 10_000,
    ownPorts = [],
    timeoutMs = 3_000,
  } = form;
  const plan: KeySetPlan = { name: `${issuer} ${jwksUri}`, issuer, jwksUri, timeoutMs };
  return fetchKeySet(plan, {
    addresses: { allow, ownPorts },
    limits: { maxJwksBytes, maxJwksKeys: 3 },
    signal: new AbortController().signal,
  });
}

describe('fetching a key set', () => {
  it('takes it as it is, and says how many of its keys can be used', async () => {
    await using server = await KeySetServer.start();
    const body = JSON.stringify({ keys: [JSON.parse(JWKS).keys[0], { kty: 'oct', k: 'AAAA' }] });
    server.answers.set('/keys', { body });
    assert.deepEqual(await fetchFrom(`${server.url}/keys`), { jwks: body, keys: 2, usableKeys: 1 });
    assert.deepEqual(server.asked, ['/keys']);
  });

  it('finds it by discovery on the issuer, with and without a slash', async () => {
    await using server = await KeySetServer.start();
    const jwks_uri = `${server.url}/found`;
    server.answers.set('/x/.well-known/openid-configuration', { body: JSON.stringify({ jwks_uri }) });
    server.answers.set('/found', { body: JWKS });
    for (const issuer of [`${server.url}/x`, `${server.url}/x/`])
      assert.equal((await fetchFrom('', { issuer })).jwks, JWKS);
  });

  it('refuses a discovery document without an address', async () => {
    await using server = await KeySetServer.start();
    for (const body of ['{}', '[]', '{"jwks_uri":1}', 'x']) {
      server.answers.set('/.well-known/openid-configuration', { body });
      await assert.rejects(fetchFrom('', { issuer: server.url }), /no JSON object with "jwks_uri"/, body);
    }
  });

  it('checks the address that discovery gives', async () => {
    await using server = await KeySetServer.start();
    const body = JSON.stringify({ jwks_uri: 'http://169.254.169.254/keys' });
    server.answers.set('/.well-known/openid-configuration', { body });
    await assert.rejects(fetchFrom('', { issuer: server.url }), /169\.254\.169\.254 is a link-local address/);
  });

  const contents = [
    '',
    'x',
    '[]',
    '{}',
    '{"keys":{}}',
    `{"keys":[]`,
    '{"keys":[],"keys":[]}',
    '['.repeat(5_000),
  ];
  for (const body of contents) {
    it(`refuses ${JSON.stringify(body.slice(0, 30))}`, async () => {
      await using server = await KeySetServer.start();
      server.answers.set('/', { body });
      await assert.rejects(fetchFrom(`${server.url}/`), /answered no JSON object with "keys"/);
    });
  }

  it('refuses any status but 200, and what is no URL of HTTP', async () => {
    await using server = await KeySetServer.start();
    server.answers.set('/', { status: 503, body: JWKS });
    await assert.rejects(fetchFrom(`${server.url}/`), /answered 503/);
    await assert.rejects(fetchFrom('file:///etc/passwd'), /no http or https URL/);
    await assert.rejects(fetchFrom('x'), /no http or https URL/);
  });

  it('refuses too many keys', async () => {
    await using server = await KeySetServer.start();
    const keys = Array.from({ length: 4 }, (_, index) => ({ kid: String(index) }));
    server.answers.set('/', { body: JSON.stringify({ keys }) });
    await assert.rejects(fetchFrom(`${server.url}/`), /4 keys at .* more than limits\.maxJwksKeys 3/);
  });

  it('stops reading where it is too large, however long it would go on', async () => {
    await using server = await KeySetServer.start();
    let written = 0;
    const closed = Promise.withResolvers<void>();
    server.answers.set('/', {
      respond: (response) => {
        response.on('close', closed.resolve);
        const chunk = ' '.repeat(65_536);
        const write = (): void => {
          while (!response.destroyed && written < 52_428_800) {
            written += chunk.length;
            if (!response.write(chunk)) {
              response.once('drain', write);
              return;
            }
          }
        };
        write();
      },
    });
    await assert.rejects(fetchFrom(`${server.url}/`), /more than limits\.maxJwksBytes 10000/);
    await closed.promise;
    assert.ok(written < 52_428_800, `${written} bytes were taken`);
  });

  it('waits no longer than the timeout, for head, body or redirects', async () => {
    await using server = await KeySetServer.start();
    server.answers.set('/silent', { respond: () => {} });
    server.answers.set('/half', { respond: (response) => void response.writeHead(200).write('{') });
    for (const path of ['/silent', '/half'])
      await assert.rejects(fetchFrom(server.url + path, { timeoutMs: 150 }), /no key set in 150 ms/);
  });

  it('follows three redirects and no more', async () => {
    await using server = await KeySetServer.start();
    for (let hop = 0; hop < 5; hop++)
      server.answers.set(`/${hop}`, { status: 302, headers: { location: `/${hop + 1}` } });
    server.answers.set('/5', { body: JWKS });
    assert.equal((await fetchFrom(`${server.url}/2`)).jwks, JWKS);
    server.asked.length = 0;
    await assert.rejects(fetchFrom(`${server.url}/1`), /redirects more than 3 times/);
    assert.deepEqual(server.asked, ['/1', '/2', '/3', '/4']);
  });

  it('checks the address of each redirect', async () => {
    await using server = await KeySetServer.start();
    const locations: readonly (readonly [string, RegExp])[] = [
      ['http://169.254.169.254/latest', /link-local/],
      [`http://[::1]:${server.port}/ok`, /loopback/],
      ['file:///etc/passwd', /no http or https URL/],
    ];
    server.answers.set('/ok', { body: JWKS });
    for (const [location, wanted] of locations) {
      server.answers.set('/', { status: 307, headers: { location } });
      await assert.rejects(fetchFrom(`${server.url}/`), wanted);
    }
    assert.ok(!server.asked.includes('/ok'));
  });

  it('does not connect to loopback unless it is allowed, by name neither', async () => {
    await using server = await KeySetServer.start();
    server.answers.set('/', { body: JWKS });
    for (const host of ['127.0.0.1', 'localhost', '0x7f.1', '2130706433', '[::ffff:127.0.0.1]', '0.0.0.0'])
      await assert.rejects(fetchFrom(`http://${host}:${server.port}/`, { allow: [] }), /jwks\.allow/, host);
    assert.deepEqual(server.asked, []);
    assert.equal((await fetchFrom(`http://localhost:${server.port}/`)).jwks, JWKS);
  });

  it('does not use the proxy of the environment', async () => {
    await using server = await KeySetServer.start();
    await using proxy = await KeySetServer.start();
    server.answers.set('/', { body: JWKS });
    const before = process.env['http_proxy'];
    process.env['http_proxy'] = proxy.url;
    try {
      assert.equal((await fetchFrom(`${server.url}/`)).jwks, JWKS);
    } finally {
      if (before === undefined) delete process.env['http_proxy'];
      else process.env['http_proxy'] = before;
    }
    assert.deepEqual(proxy.asked, []);
  });

  it('does not take keys from a server whose certificate nobody vouches for, whatever the environment says', async () => {
    const ca = await TestCa.create('cluster.local');
    const { chainPem, keyPem } = await ca.issue({
      spiffeId: 'spiffe://cluster.local/ns/a/sa/b',
      dnsNames: ['localhost'],
    });
    let requests = 0;
    const server = https.createServer({ cert: chainPem, key: keyPem }, (_, response) => {
      requests++;
      response.end(JWKS);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const name = 'NODE_TLS_REJECT_UNAUTHORIZED';
    const before = process.env[name];
    process.env[name] = '0';
    try {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it listens on TCP
      const { port } = server.address() as AddressInfo;
      await assert.rejects(fetchFrom(`https://localhost:${port}/`), /Cannot fetch "https:.*certificate/);
    } finally {
      if (before === undefined) delete process.env[name];
      else process.env[name] = before;
      server.close();
    }
    assert.equal(requests, 0);
  });

  it('ends at once when it is told to', async () => {
    await using server = await KeySetServer.start();
    const end = new AbortController();
    server.answers.set('/', { respond: () => end.abort() });
    const plan = { name: 'x', issuer: '', jwksUri: `${server.url}/`, timeoutMs: 60_000 };
    const limits = { maxJwksBytes: 1_000, maxJwksKeys: 1 };
    const addresses = { allow: ['127.0.0.1'], ownPorts: [] };
    await assert.rejects(fetchKeySet(plan, { addresses, limits, signal: end.signal }), /abort/);
  });
});

describe('addresses of key sets', () => {
  const rows: readonly (readonly [string, RegExp | null])[] = [
    ['127.0.0.1', /loopback/],
    ['127.255.255.254', /loopback/],
    ['::1', /loopback/],
    ['::ffff:127.0.0.1', /loopback/],
    ['::ffff:7f00:1', /loopback/],
    ['64:ff9b::7f00:1', /loopback/],
    ['2002:7f00:1::', /loopback/],
    ['169.254.169.254', /link-local/],
    ['::ffff:169.254.169.254', /link-local/],
    ['64:ff9b::a9fe:a9fe', /link-local/],
    ['fe80::1', /link-local/],
    ['febf::1', /link-local/],
    ['fd00:ec2::254', /metadata/],
    ['100.100.100.200', /metadata/],
    ['::ffff:100.100.100.200', /metadata/],
    ['64:ff9b::100.100.100.200', /metadata/],
    ['192.0.0.192', /metadata/],
    ['64:ff9b::192.0.0.192', /metadata/],
    ['168.63.129.16', /metadata/],
    ['64:ff9b::168.63.129.16', /metadata/],
    ['2002:a83f:8110::1', /metadata/],
    ['::127.0.0.1', /where it leads/],
    ['::ffff:0:127.0.0.1', /where it leads/],
    ['64:ff9b:1::7f00:1', /where it leads/],
    ['2001:0:7f00:1::', /where it leads/],
    ['100.100.100.201', null],
    ['0.0.0.0', /no address of one host/],
    ['::', /no address of one host/],
    ['224.0.0.1', /no address of one host/],
    ['255.255.255.255', /no address of one host/],
    ['ff02::1', /no address of one host/],
    ['10.1.2.3', null],
    ['192.168.1.1', null],
    ['169.253.1.1', null],
    ['128.0.0.1', null],
    ['fec0::1', null],
    ['2001:db8::1', null],
    ['64:ff9b::a01:203', null],
  ];
  for (const [ip, wanted] of rows) {
    it(`${ip}: ${wanted === null ? 'taken' : 'refused'}`, () => {
      const fault = addressFault(ip, 443, { allow: [], ownPorts: [] });
      if (wanted === null) assert.equal(fault, null);
      else assert.match(fault ?? '', wanted);
      assert.equal(addressFault(ip, 443, { allow: ['0.0.0.0/0', '::/0'], ownPorts: [] }), null);
    });
  }

  it("are not this sidecar's own ports, on whatever address of this host", async () => {
    const { networkInterfaces } = await import('node:os');
    const outer = Object.values(networkInterfaces())
      .flatMap((all) => all ?? [])
      .find(({ internal, scopeid = 0 }) => !internal && scopeid === 0);
    const ip = outer?.address ?? '::1';
    const allow = outer === undefined ? ['::2'] : [];
    assert.ok(addressFault(ip, 15_000, { allow, ownPorts: [15_000] }) !== null);
    assert.equal(addressFault('10.99.99.99', 15_000, { allow, ownPorts: [15_000] }), null);
    assert.equal(addressFault(ip, 15_000, { allow: [ip], ownPorts: [15_000] }), null);
  });
});
