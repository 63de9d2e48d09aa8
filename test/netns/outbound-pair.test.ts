import assert from 'node:assert/strict';
import { chownSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Echo } from '../support/echo-app.ts';
import { runPostern, spawnPostern, startProxy } from '../support/spawn-postern.ts';
import type { PosternProcess } from '../support/spawn-postern.ts';
import { TempFolder } from '../support/temp-folder.ts';
import { TestCa } from '../support/test-ca.ts';
import { CLIENT, HOST, buildNetwork, deleteNetwork, inside, runIn, skipNetns } from './network.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const SIDECAR_USER = 1337;
/** A virtual address that only the rules of the client's host know what to do with. */
const CLUSTER_IP = '10.96.0.10';

const SERVER_DOCUMENTS = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: foo}
spec: {mtls: {mode: STRICT}}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {app: httpbin}
  clusterIP: ${CLUSTER_IP}
  ports: [{name: http, port: 8000, targetPort: 8080}]
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: httpbin-1, namespace: foo}
spec: {address: 10.77.2.2, labels: {app: httpbin}, serviceAccount: httpbin}
---
`;

const REGISTRY_ONLY = 'meshConfig: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}\n';

/** Answers with what it saw, on all addresses of its namespace. */
const APP = `
  require('node:http').createServer((request, response) => {
    const headers = [];
    for (let i = 0; i < request.rawHeaders.length; i += 2) headers.push(request.rawHeaders.slice(i, i + 2));
    response.end(JSON.stringify({ headers, remoteAddress: request.socket.remoteAddress }));
  }).listen({ host: '0.0.0.0', port: Number(process.argv[1]) }, () => process.stdout.write('{"ready":true}\\n'));`;

/** One GET; says status and body, or the error's code. */
const CALL = `
  const [host, port, name] = process.argv.slice(1);
  const sent = require('node:http').get({ host, port, headers: { host: name }, agent: false, timeout: 5000 }, (response) => {
    let body = '';
    response.on('data', (chunk) => { body += chunk; });
    response.on('end', () => process.stdout.write(JSON.stringify({ status: response.statusCode, body })));
  });
  sent.on('timeout', () => sent.destroy(new Error('timeout')));
  sent.on('error', (error) => process.stdout.write(JSON.stringify({ status: 0, body: error.code ?? error.message })));`;

interface Called {
  readonly status: number;
  readonly body: string;
}

async function call(host: string, port: number, name: string): Promise<Called> {
  const command = [...inside(CLIENT), process.execPath, '-e', CALL] as unknown as [string, ...string[]];
  const { stdout } = await runPostern([host, String(port), name], { command });
  return JSON.parse(stdout) as Called;
}

class Host implements AsyncDisposable {
  readonly folder: TempFolder = new TempFolder();
  readonly #namespace: string;
  #proxy: PosternProcess | null = null;

  constructor(namespace: string) {
    this.#namespace = namespace;
  }

  async start(ca: TestCa, account: string, documents: string): Promise<PosternProcess> {
    const issued = await ca.issue({ spiffeId: `spiffe://cluster.local/ns/foo/sa/${account}` });
    this.folder.write('chain.pem', issued.chainPem);
    this.folder.write('key.pem', issued.keyPem, 0o600);
    this.folder.write('root.pem', ca.rootPem);
    this.folder.write('mesh/documents.yaml', documents);
    const file = this.folder.write(
      'postern.yaml',
      [
        `workload: {namespace: foo, serviceAccount: ${account}, labels: {app: ${account}}}`,
        'identity: {files: {certificateChain: chain.pem, privateKey: key.pem, trustBundle: root.pem}}',
        'config: [./mesh]',
        '',
      ].join('\n'),
    );
    give(this.folder.path);
    const user = [
      'setpriv',
      `--reuid=${SIDECAR_USER}`,
      `--regid=${SIDECAR_USER}`,
      '--clear-groups',
      '--bounding-set=-all',
      '--no-new-privs',
    ];
    const command = [...inside(this.#namespace), ...user, process.execPath, MAIN];
    const started = await startProxy(file, [], { command: command as unknown as [string, ...string[]] });
    this.#proxy = started.proxy;
    return started.proxy;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#proxy?.[Symbol.asyncDispose]();
    this.folder.remove();
  }
}

/** Makes the folder and all in it the sidecar's. */
function give(folder: string): void {
  chownSync(folder, SIDECAR_USER, SIDECAR_USER);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const at = path.join(folder, entry.name);
    if (entry.isDirectory()) give(at);
    else chownSync(at, SIDECAR_USER, SIDECAR_USER);
  }
}

describe(
  'two hosts whose connections are redirected, sidecars without privileges',
  { skip: skipNetns },
  () => {
    const hosts: Host[] = [];
    const apps: PosternProcess[] = [];
    let caller: PosternProcess;
    let clientHost: Host;

    before(async () => {
      buildNetwork();
      for (const rule of [
        `-m owner --uid-owner ${SIDECAR_USER} -j RETURN`,
        '-o lo -j RETURN',
        '-p tcp -j REDIRECT --to-ports 15001',
      ])
        runIn(CLIENT, `iptables -t nat -A OUTPUT ${rule}`);
      runIn(HOST, 'iptables -t nat -A PREROUTING -i h0 -p tcp --dport 8080 -j REDIRECT --to-ports 15001');
      for (const port of ['8080', '9999']) {
        const command = [...inside(HOST), process.execPath, '-e', APP] as unknown as [string, ...string[]];
        const app = spawnPostern([port], { command });
        apps.push(app);
        await app.ready();
      }
      const ca = await TestCa.create('cluster.local');
      const server = new Host(HOST);
      clientHost = new Host(CLIENT);
      hosts.push(server, clientHost);
      await server.start(ca, 'httpbin', SERVER_DOCUMENTS);
      caller = await clientHost.start(ca, 'sleep', SERVER_DOCUMENTS);
    });

    after(async () => {
      for (const one of [...hosts, ...apps]) await one[Symbol.asyncDispose]();
      deleteNetwork();
    });

    it('carry a request to a virtual address by mTLS, from app to app', async () => {
      const { body, status } = await call(CLUSTER_IP, 8000, 'httpbin.foo:8000');
      assert.equal(status, 200, body);
      const echo = JSON.parse(body) as Echo;
      const xfcc = echo.headers.find(([name]) => name.toLowerCase() === 'x-forwarded-client-cert')?.[1];
      assert.match(xfcc ?? '', /;URI=spiffe:\/\/cluster\.local\/ns\/foo\/sa\/sleep$/);
    });

    it('pass on what no service has, in plaintext and unread, under ALLOW_ANY', async () => {
      const { body, status } = await call('10.77.2.2', 9999, 'anything');
      assert.equal(status, 200, body);
      const { headers } = JSON.parse(body) as Echo;
      assert.deepEqual(
        headers.map(([name]) => name.toLowerCase()).filter((name) => name.startsWith('x-')),
        [],
      );
    });

    it('refuse plaintext to the app under STRICT, whoever sends it', async () => {
      // The port is 8080 there, and no service has that number here: the caller passes it on as it is.
      const { status } = await call('10.77.2.2', 8080, 'httpbin.foo');
      assert.equal(status, 0);
    });

    it('close what no service has under REGISTRY_ONLY, and still carry what one has', async () => {
      clientHost.folder.write('mesh/policy.yaml', REGISTRY_ONLY);
      await caller.waitForLog((line) => line['code'] === 'reloaded');
      assert.equal((await call('10.77.2.2', 9999, 'anything')).status, 0);
      await caller.waitForLog((line) => line['code'] === 'unknown_destination');
      assert.equal((await call(CLUSTER_IP, 8000, 'httpbin')).status, 200);
    });
  },
);
