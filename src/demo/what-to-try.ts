/** The commands that the demo prints once it serves: each runs as it stands. */
import type { DemoMesh } from './demo-mesh.ts';

export interface Suggestion {
  readonly what: string;
  readonly lines: readonly string[];
}

export function whatToTry(mesh: DemoMesh): readonly Suggestion[] {
  const { host, ports } = mesh;
  const { sleep, otherCa } = mesh.certificates.clients;
  const url = `${host}:${ports.intercept}/anything`;
  // curl cannot check a certificate that names a SPIFFE ID and no host.
  const curl = 'curl --http1.1 --insecure';
  return [
    {
      what: 'mTLS, answered by the app (--insecure: curl cannot check a SPIFFE ID; a client of the mesh does)',
      lines: [
        `${curl} --cert ${quoted(sleep.certificateFile)} --key ${quoted(sleep.privateKeyFile)} https://${url}`,
      ],
    },
    {
      what: 'Closed without a status: a certificate of another CA, and plaintext under STRICT',
      lines: [
        `${curl} --cert ${quoted(otherCa.certificateFile)} --key ${quoted(otherCa.privateKeyFile)} https://${url}`,
        `curl http://${url}`,
      ],
    },
    {
      what: 'Then plaintext gets 200, and mTLS by curl nothing: it cannot offer ALPN istio-http/1.1',
      lines: [`sed -i.bak s/STRICT/PERMISSIVE/ ${quoted(mesh.peerAuthenticationFile)}`],
    },
    {
      what: 'Readiness, metrics, certificates, configuration in force',
      lines: [
        `curl http://${host}:${ports.readiness}/healthz/ready`,
        `curl http://${host}:${ports.metrics}/stats/prometheus`,
        `curl http://${host}:${ports.admin}/certs`,
        `curl http://${host}:${ports.admin}/config_dump`,
      ],
    },
  ];
}

/** For a shell, if the path needs it: TMPDIR may have blanks. */
function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;
}
