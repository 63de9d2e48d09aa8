/**
 * The benchmark's own little PKI in a folder: a mesh CA, the server's and the client's SVID, and a foreign CA's client.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const SERVER_URI = 'spiffe://cluster.local/ns/foo/sa/httpbin';
export const CLIENT_URI = 'spiffe://cluster.local/ns/foo/sa/sleep';

export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
}

/** Paths of PEM files. */
export interface Certificates {
  readonly roots: string;
  readonly server: CertificateFiles;
  /** Certificate and key of the server in one file, as HAProxy wants them. */
  readonly serverBundle: string;
  readonly client: CertificateFiles;
  /** A client with the right name from a CA that nobody trusts. */
  readonly foreign: CertificateFiles;
}

/** Arguments as one line; none of ours holds a blank but the folder, which is given apart. */
function openssl(line: string, files: Readonly<Record<string, string>>): void {
  const args = [...line.split(' '), ...Object.entries(files).flatMap(([flag, path]) => [`-${flag}`, path])];
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'], timeout: 20_000 });
}

const NEW_KEY = 'req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256';

function makeRoot(folder: string, name: string): CertificateFiles {
  const files = { certificate: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
  const usage =
    '-addext keyUsage=critical,keyCertSign,cRLSign -addext subjectAltName=URI:spiffe://cluster.local';
  openssl(`${NEW_KEY} -x509 -days 2 -subj /O=cluster.local/CN=${name} ${usage}`, {
    keyout: files.key,
    out: files.certificate,
  });
  return files;
}

function makeLeaf(folder: string, name: string, uri: string, root: CertificateFiles): CertificateFiles {
  const files = { certificate: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
  const request = join(folder, `${name}.csr`);
  const extensions = join(folder, `${name}.ext`);
  openssl(`${NEW_KEY} -subj /`, { keyout: files.key, out: request });
  const wanted = [
    'basicConstraints=critical,CA:FALSE',
    'keyUsage=critical,digitalSignature',
    'extendedKeyUsage=serverAuth,clientAuth',
    `subjectAltName=critical,URI:${uri}`,
  ];
  writeFileSync(extensions, wanted.join('\n'));
  openssl('x509 -req -CAcreateserial -sha256 -days 1', {
    in: request,
    CA: root.certificate,
    CAkey: root.key,
    extfile: extensions,
    out: files.certificate,
  });
  return files;
}

/** Writes everything into `folder`, which the caller owns and removes. */
export function makeCertificates(folder: string): Certificates {
  const mesh = makeRoot(folder, 'mesh-root');
  const foreign = makeRoot(folder, 'foreign-root');
  const server = makeLeaf(folder, 'server', SERVER_URI, mesh);
  const serverBundle = join(folder, 'server-bundle.pem');
  const parts = [server.certificate, server.key].map((file) => readFileSync(file, 'utf8'));
  writeFileSync(serverBundle, parts.join(''), { mode: 0o600 });
  return {
    roots: mesh.certificate,
    server,
    serverBundle,
    client: makeLeaf(folder, 'client', CLIENT_URI, mesh),
    foreign: makeLeaf(folder, 'foreign-client', CLIENT_URI, foreign),
  };
}
