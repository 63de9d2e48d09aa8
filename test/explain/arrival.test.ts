/** Arrival by Istio's table of inbound chains: every mode and protocol, with every way to come. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Explanation } from '../../src/explain/explanation.ts';
import { ask, mode, policy, service, SLEEP, targetOf } from './ask.ts';

const HTTP = '{name: http, port: 80, targetPort: 8080}';
const TCP = '{name: tcp-raw, port: 80, targetPort: 8080}';
const AUTO = '{name: whatever, port: 80, targetPort: 8080}';

const TO = 'to: {port: 8080}';
/** Ways to come, as a request file says them. */
const PLAIN = `{${TO}, from: plaintext}`;
const PLAIN_TCP = `{${TO}, tcp: true}`;
const MESH = `{${TO}, ${SLEEP}}`;
const MESH_TCP = `{${TO}, ${SLEEP}, tcp: true}`;
const FOREIGN = `{${TO}, tls: {alpn: [http/1.1]}}`;
const NO_ALPN = `{${TO}, tls: {sni: a.example}, tcp: true}`;
const MESH_AS_FOREIGN = `{${TO}, ${SLEEP}, tls: {alpn: [http/1.1]}}`;

const NONE = 'filter_chain_not_found';

/** Service port, mode, arrival → chain or what it is closed with. */
const ROWS: readonly (readonly [string, string, string, string | null, string])[] = [
  [HTTP, 'STRICT', PLAIN, null, NONE],
  [HTTP, 'STRICT', MESH, 'http mTLS', ''],
  [HTTP, 'STRICT', MESH_AS_FOREIGN, 'http mTLS', ''],
  [HTTP, 'STRICT', FOREIGN, 'http mTLS', 'tls_no_certificate'],
  [HTTP, 'PERMISSIVE', PLAIN, 'http plaintext', ''],
  [HTTP, 'PERMISSIVE', MESH, 'http mTLS', ''],
  [HTTP, 'PERMISSIVE', FOREIGN, null, NONE],
  [HTTP, 'PERMISSIVE', MESH_AS_FOREIGN, null, NONE],
  [HTTP, 'DISABLE', PLAIN, 'http plaintext', ''],
  [HTTP, 'DISABLE', MESH, 'http plaintext', 'bad_request_line'],
  [HTTP, 'PERMISSIVE', PLAIN_TCP, 'http plaintext', 'bad_request_line'],
  [TCP, 'STRICT', PLAIN, null, NONE],
  [TCP, 'STRICT', PLAIN_TCP, null, NONE],
  [TCP, 'STRICT', MESH_TCP, 'tcp mTLS', ''],
  [TCP, 'STRICT', FOREIGN, 'tcp mTLS', 'tls_no_certificate'],
  [TCP, 'PERMISSIVE', PLAIN_TCP, 'tcp plaintext', ''],
  [TCP, 'PERMISSIVE', PLAIN, 'tcp plaintext', ''],
  [TCP, 'PERMISSIVE', MESH_TCP, 'tcp mTLS', ''],
  [TCP, 'PERMISSIVE', NO_ALPN, 'tcp TLS untouched', ''],
  [TCP, 'PERMISSIVE', MESH_AS_FOREIGN, 'tcp TLS untouched', ''],
  [TCP, 'DISABLE', MESH_TCP, 'tcp plaintext', ''],
  [TCP, 'DISABLE', PLAIN_TCP, 'tcp plaintext', ''],
  [AUTO, 'STRICT', PLAIN, null, NONE],
  [AUTO, 'STRICT', MESH, 'http mTLS', ''],
  [AUTO, 'STRICT', MESH_AS_FOREIGN, 'tcp mTLS', ''],
  [AUTO, 'STRICT', MESH_TCP, 'tcp mTLS', ''],
  [AUTO, 'PERMISSIVE', PLAIN, 'http plaintext', ''],
  [AUTO, 'PERMISSIVE', PLAIN_TCP, 'tcp plaintext', ''],
  // Not what a port that is sniffed takes for HTTP.
  [AUTO, 'PERMISSIVE', `{${TO}, request: {method: "a b", path: c}}`, 'tcp plaintext', ''],
  [HTTP, 'PERMISSIVE', `{${TO}, request: {method: "a b", path: c}}`, 'http plaintext', 'bad_http_version'],
  [AUTO, 'PERMISSIVE', MESH, 'http mTLS', ''],
  [AUTO, 'PERMISSIVE', `{${TO}, ${SLEEP}, tls: {alpn: [istio, istio-http/1.1]}}`, 'tcp mTLS', ''],
  [AUTO, 'PERMISSIVE', MESH_TCP, 'tcp mTLS', ''],
  [AUTO, 'PERMISSIVE', NO_ALPN, 'tcp TLS untouched', ''],
  [AUTO, 'DISABLE', PLAIN, 'http plaintext', ''],
  [AUTO, 'DISABLE', MESH, 'tcp TLS untouched', ''],
];

async function chainOf(documents: string, request: string): Promise<string | null> {
  return (await ask(documents, request)).arrival.chain;
}

async function portOf(documents: string, request = '{}'): Promise<readonly string[]> {
  const { steps } = await ask(
    documents + policy('ports', '{rules: [{to: [{operation: {ports: ["1"]}}]}]}'),
    request,
  );
  return steps.find(({ step }) => step === 'ALLOW')?.policies[0]?.rules[0]?.fields[0]?.got ?? [];
}

describe('arrival', () => {
  for (const [port, of, request, chain, details] of ROWS) {
    it(`${of} ${port} ${request} → ${chain ?? 'no chain'} ${details}`, async () => {
      const explanation = await ask(mode(of) + service(port), request);
      assert.deepEqual(
        [explanation.arrival.mode, explanation.arrival.chain, explanation.details],
        [of, chain, details],
      );
      assert.equal(explanation.verdict, details === '' ? 'allow' : 'deny');
    });
  }

  it('refuses plaintext to STRICT without an HTTP status, and names who set the mode', async () => {
    const explanation = await ask(mode('STRICT'), '{from: plaintext}');
    assert.equal(explanation.status, null);
    assert.deepEqual(explanation.steps, []);
    assert.equal(explanation.decidedBy, null);
    assert.equal(explanation.arrival.modeFrom, 'PeerAuthentication foo/mode');
    assert.match(explanation.reason, /^denied: plaintext came to port 80, which takes mTLS only; .*STRICT/);
    assert.deepEqual(explanation.path, { received: '/', normalised: null });
  });

  it('answers 400 to TCP that is not HTTP on an HTTP port', async () => {
    assert.equal((await ask(service(HTTP), PLAIN_TCP)).status, 400);
  });

  it('knows modes of single ports', async () => {
    const documents = mode('STRICT', '{15021: {mode: DISABLE}}');
    assert.equal(await chainOf(documents, '{to: {port: 15021}}'), 'http plaintext');
    assert.equal(await chainOf(documents, '{to: {port: 8080}}'), null);
  });

  it('takes a port that no Service names for HTTP, unless it is told of TCP', async () => {
    assert.equal(await chainOf('', '{to: {port: 1}}'), 'http plaintext');
    assert.equal(await chainOf('', '{to: {port: 1}, tls: {alpn: [h2]}}'), null);
    assert.equal(await chainOf('', '{to: {port: 1}, tcp: true}'), 'tcp plaintext');
  });
});

describe('the port', () => {
  it('is the only HTTP port of the workload', async () => {
    assert.deepEqual(await portOf(service(HTTP, '{name: tcp, port: 9, targetPort: 9}')), ['8080']);
  });

  it('is 80 where there is none, or more than one', async () => {
    assert.deepEqual(await portOf(service('{name: tcp, port: 9, targetPort: 9}')), ['80']);
    assert.deepEqual(await portOf(service(HTTP, '{name: http-b, port: 9, targetPort: 9}')), ['80']);
  });

  it('is what the request says', async () => {
    assert.deepEqual(await portOf(service(HTTP), '{to: {port: 7}}'), ['7']);
  });
});

describe('the peer', () => {
  const TRUST = '---\nmeshConfig: {trustDomain: new, trustDomainAliases: [old]}\n';
  const of = (sans: string): Promise<Explanation> => ask(targetOf(TRUST), `{from: {sans: [${sans}]}}`);

  it('may be of the own trust domain or an alias', async () => {
    for (const san of [
      'spiffe://new/ns/a/sa/b',
      'spiffe://old/ns/a/sa/b',
      'spiffe://new/ns/a/sa/b, dns.name',
    ])
      assert.equal((await of(san)).verdict, 'allow', san);
  });

  for (const [sans, details, says] of [
    ['spiffe://third/ns/a/sa/b', 'tls_foreign_trust_domain', /identities of new, old are taken/],
    ['', 'tls_not_an_svid', /got none/],
    ['dns.name', 'tls_not_an_svid', /got none/],
    ['spiffe://new/a, spiffe://new/b', 'tls_not_an_svid', /exactly one URI SAN/],
    ['https://new/a', 'tls_not_an_svid', /does not start with "spiffe:/],
    ['spiffe://new', 'tls_not_an_svid', /no path/],
  ] as const) {
    it(`is refused with the certificate [${sans}]`, async () => {
      const explanation = await of(sans);
      assert.deepEqual(
        [explanation.verdict, explanation.status, explanation.details],
        ['deny', null, details],
      );
      assert.match(explanation.reason, says);
      assert.deepEqual(explanation.steps, []);
    });
  }

  it('says the SNI of a mesh client, or what is stated', async () => {
    const documents =
      service(HTTP) + policy('sni', '{rules: [{when: [{key: connection.sni, values: [x]}]}]}');
    const sniOf = async (request: string): Promise<readonly string[] | undefined> => {
      const { steps } = await ask(documents, request);
      return steps.find(({ step }) => step === 'ALLOW')?.policies[0]?.rules[0]?.fields[0]?.got;
    };
    assert.deepEqual(await sniOf(`{${SLEEP}}`), ['outbound_.80_._.httpbin.foo.svc.cluster.local']);
    assert.deepEqual(await sniOf(`{${SLEEP}, tls: {sni: X}}`), ['x']);
  });
});
