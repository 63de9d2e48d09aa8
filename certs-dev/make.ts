/**
 * Writes certificates for development: `node certs-dev/make.ts [FOLDER]`, default `certs-dev/out`.
 *
 * The private keys lie on disk and the authority's own is thrown away: never for production.
 */
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { type Authority, createAuthority } from '../src/identity/authority.ts';

const TRUST_DOMAIN = 'cluster.local';
const DAY_MS = 86_400_000;
const LIFE_MS = 30 * DAY_MS;

interface Wanted {
  /** File names are this plus `.pem` and `.key`. */
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly what: string;
  readonly authority: Authority;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

async function main(): Promise<void> {
  const folder = process.argv[2] ?? join(import.meta.dirname, 'out');
  if (folder.startsWith('-') || process.argv.length > 3) {
    process.stderr.write('Usage: node certs-dev/make.ts [FOLDER]\n');
    process.exitCode = 2;
    return;
  }
  await mkdir(folder, { recursive: true });
  const now = Date.now();
  const mesh = await createAuthority({ trustDomain: TRUST_DOMAIN, notBefore: new Date(now - 10 * DAY_MS) });
  const stranger = await createAuthority({ trustDomain: TRUST_DOMAIN });
  await replace(join(folder, 'root.pem'), mesh.rootPem, 0o644);
  say(folder, 'root.pem', 'the trust bundle of every workload here');
  const ordinary = { authority: mesh, notAfter: new Date(now + LIFE_MS) };
  const list: readonly Wanted[] = [
    { ...ordinary, name: 'foo-httpbin', namespace: 'foo', serviceAccount: 'httpbin', what: 'a server' },
    { ...ordinary, name: 'foo-sleep', namespace: 'foo', serviceAccount: 'sleep', what: 'a client' },
    { ...ordinary, name: 'bar-sleep', namespace: 'bar', serviceAccount: 'sleep', what: 'another client' },
    {
      name: 'foo-expired',
      namespace: 'foo',
      serviceAccount: 'sleep',
      what: 'expired yesterday, to be refused',
      authority: mesh,
      notBefore: new Date(now - 2 * DAY_MS),
      notAfter: new Date(now - DAY_MS),
    },
    {
      name: 'foo-other-ca',
      namespace: 'foo',
      serviceAccount: 'sleep',
      what: 'of another authority that says the same name, to be refused',
      authority: stranger,
      notAfter: new Date(now + LIFE_MS),
    },
  ];
  for (const wanted of list) await write(folder, wanted);
  process.stdout.write('For development only: the keys are on disk, and nobody renews these certificates.\n');
}

async function write(folder: string, wanted: Wanted): Promise<void> {
  const { name, namespace, serviceAccount, authority, notBefore, notAfter } = wanted;
  const spiffeId = `spiffe://${TRUST_DOMAIN}/ns/${namespace}/sa/${serviceAccount}`;
  const leaf = await authority.issueWithKey({
    spiffeId,
    ...(notBefore === undefined ? {} : { notBefore }),
    ...(notAfter === undefined ? {} : { notAfter }),
  });
  await replace(join(folder, `${name}.key`), leaf.privateKeyPem, 0o600);
  await replace(join(folder, `${name}.pem`), leaf.chainPem, 0o644);
  say(folder, `${name}.pem, ${name}.key`, `${spiffeId}, ${wanted.what}`);
}

/** Written beside and renamed over: whoever watches never sees half a file, nor a key that others may read. */
async function replace(file: string, text: string, mode: number): Promise<void> {
  const fresh = `${file}.${process.pid}.tmp`;
  await writeFile(fresh, text, { mode, flag: 'wx' });
  await rename(fresh, file);
}

function say(folder: string, names: string, what: string): void {
  const below = relative(process.cwd(), folder);
  process.stdout.write(`${below.startsWith('..') ? folder : below}/${names}: ${what}\n`);
}

await main();
