/**
 * The benchmark's own little PKI in a folder: a mesh CA, the server's and the client's SVID, a foreign CA, and
 * certificates with a DNS name beside the SPIFFE ID for who can read nothing else.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAuthority } from '../src/identity/authority.ts';
import type { Authority } from '../src/identity/authority.ts';
import { createNamedAuthority } from './named-authority.ts';

export const SERVER_URI = 'spiffe://cluster.local/ns/foo/sa/httpbin';
export const CLIENT_URI = 'spiffe://cluster.local/ns/foo/sa/sleep';
/** Of another namespace of the mesh. */
export const STRANGER_URI = 'spiffe://cluster.local/ns/elsewhere/sa/stranger';
/** A workload of the same mesh that is not the server. */
export const OTHER_URI = 'spiffe://cluster.local/ns/foo/sa/other';

const SERVER_NAME = 'httpbin.foo.svc.cluster.local';
const OTHER_NAME = 'other.foo.svc.cluster.local';

export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
}

/** What a client's sidecar is to accept of servers, and what it is to refuse. */
export interface ServerCertificates {
  readonly roots: string;
  readonly server: CertificateFiles;
  /** Of the same CA, but another workload's. */
  readonly other: CertificateFiles;
  /** With the right names, from a CA that nobody trusts. */
  readonly foreign: CertificateFiles;
}

/** Paths of PEM files. */
export interface Certificates {
  readonly roots: string;
  readonly server: CertificateFiles;
  /** Certificate and key of the server in one file, as HAProxy wants them. */
  readonly serverBundle: string;
  readonly client: CertificateFiles;
  /** A client of the mesh that policies do not know. */
  readonly stranger: CertificateFiles;
  /** A client with the right name from a CA that nobody trusts. */
  readonly foreign: CertificateFiles;
  /** Servers as the mesh has them: a SPIFFE ID and nothing else. */
  readonly mesh: ServerCertificates;
  /** Servers that have a DNS name as well, of a CA of their own. */
  readonly named: ServerCertificates;
}

interface Leaf {
  readonly chainPem: string;
  readonly privateKeyPem: string;
}

function writeLeaf(folder: string, name: string, leaf: Leaf): CertificateFiles {
  const files = { certificate: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
  writeFileSync(files.certificate, leaf.chainPem);
  writeFileSync(files.key, leaf.privateKeyPem, { mode: 0o600 });
  return files;
}

async function writeMeshServers(
  folder: string,
  mesh: Authority,
  foreign: Authority,
): Promise<ServerCertificates> {
  const roots = join(folder, 'roots.crt');
  writeFileSync(roots, mesh.rootPem);
  return {
    roots,
    server: writeLeaf(folder, 'server', await mesh.issueWithKey({ spiffeId: SERVER_URI })),
    other: writeLeaf(folder, 'other', await mesh.issueWithKey({ spiffeId: OTHER_URI })),
    foreign: writeLeaf(folder, 'foreign-server', await foreign.issueWithKey({ spiffeId: SERVER_URI })),
  };
}

async function writeNamedServers(folder: string): Promise<ServerCertificates> {
  const named = await createNamedAuthority();
  const foreign = await createNamedAuthority();
  const roots = join(folder, 'named-roots.crt');
  writeFileSync(roots, named.rootPem);
  return {
    roots,
    server: writeLeaf(folder, 'named-server', await named.issue(SERVER_URI, SERVER_NAME)),
    other: writeLeaf(folder, 'named-other', await named.issue(OTHER_URI, OTHER_NAME)),
    foreign: writeLeaf(folder, 'named-foreign', await foreign.issue(SERVER_URI, SERVER_NAME)),
  };
}

/** Writes everything into `folder`, which the caller owns and removes. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  const authority = await createAuthority({ trustDomain: 'cluster.local' });
  const foreign = await createAuthority({ trustDomain: 'cluster.local' });
  const mesh = await writeMeshServers(folder, authority, foreign);
  const serverBundle = join(folder, 'server-bundle.pem');
  const parts = [mesh.server.certificate, mesh.server.key].map((file) => readFileSync(file, 'utf8'));
  writeFileSync(serverBundle, parts.join(''), { mode: 0o600 });
  return {
    roots: mesh.roots,
    server: mesh.server,
    serverBundle,
    client: writeLeaf(folder, 'client', await authority.issueWithKey({ spiffeId: CLIENT_URI })),
    stranger: writeLeaf(folder, 'stranger', await authority.issueWithKey({ spiffeId: STRANGER_URI })),
    foreign: writeLeaf(folder, 'foreign-client', await foreign.issueWithKey({ spiffeId: CLIENT_URI })),
    mesh,
    named: await writeNamedServers(folder),
  };
}
