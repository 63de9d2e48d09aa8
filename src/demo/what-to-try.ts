/** The commands that the demo prints once it serves: each runs as it stands, and none needs a certificate. */
import type { Place } from './demo-documents.ts';
import type { DemoMesh } from './demo-mesh.ts';

export interface Suggestion {
  readonly what: string;
  readonly lines: readonly string[];
}

/** Of sidecars that are ready. */
export function whatToTry(mesh: DemoMesh): readonly Suggestion[] {
  const { server, workloads } = mesh;
  const clients = [workloads['foo/sleep'], workloads['bar/sleep']].filter(({ isReady }) => isReady);
  const calls = clients.map(({ egress }) => egress);
  return [...callSuggestions(calls), ...(server.isReady ? serverSuggestions(mesh) : [])];
}

function callSuggestions(egress: readonly Place[]): readonly Suggestion[] {
  const [first] = egress;
  if (first === undefined) return [];
  return [
    {
      what: "By a client's sidecar: plaintext to it, mTLS from there; the app tells the caller's SPIFFE ID",
      lines: egress.map((place) => call('httpbin.foo', place)),
    },
    {
      what: 'Policies before bar/httpbin: 403 without a token, 403 where no ALLOW rule matches, 200',
      lines: ['/private', '/any', '/get'].map((path) => call('httpbin.bar', first, path)),
    },
    {
      what: 'An app without a sidecar, in plaintext; and a server that is not the one that was meant: 503',
      lines: [call('httpbin.legacy', first), call('payments.foo', first)],
    },
  ];
}

function serverSuggestions(mesh: DemoMesh): readonly Suggestion[] {
  const { host, ingress, ports } = mesh.server;
  return [
    {
      what: 'Closed without a status: plaintext under STRICT',
      lines: [`curl http://${host}:${ingress.port}/anything`],
    },
    {
      what: 'Then plaintext gets 200',
      lines: [`sed -i.bak s/STRICT/PERMISSIVE/ ${quoted(mesh.peerAuthenticationFile)}`],
    },
    {
      what: 'Readiness, metrics, certificates, configuration in force of foo/httpbin',
      lines: [
        `curl http://${host}:${ports.readiness}/healthz/ready`,
        `curl http://${host}:${ports.metrics}/stats/prometheus`,
        `curl http://${host}:${ports.admin}/certs`,
        `curl http://${host}:${ports.admin}/config_dump`,
      ],
    },
  ];
}

function call(service: string, { host, port }: Place, path = '/anything'): string {
  return `curl -H 'Host: ${service}' http://${host}:${port}${path}`;
}

/** For a shell, if the path needs it: TMPDIR may have blanks. */
function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;
}
