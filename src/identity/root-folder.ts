/**
 * The folder that a self-signed root lives in: `root-cert.pem`, which everybody may read, and `ca-key.pem`, mode 0600.
 *
 * Made once, whole or not at all, and loaded from then on. Half a set is refused: making a new root in its place
 * would cut off every workload that trusts the old one.
 */
import { randomBytes } from 'node:crypto';
import { chmod, link, lstat, mkdir, open, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { MeshError, messageOf, whyOf } from '../core/errors.ts';
import { parseTrustDomain, type TrustDomain } from '../svid/spiffe-id.ts';
import { Authority } from './authority.ts';
import type { KeyAlgorithmName } from './authority-keys.ts';
import { readBounded } from './read-bounded.ts';

export const ROOT_CERTIFICATE_FILE = 'root-cert.pem';
export const ROOT_KEY_FILE = 'ca-key.pem';

export interface RootFolderOptions {
  /** Absolute, or relative to the working directory. */
  readonly folder: string;
  readonly trustDomain: string;
  /** Of a root that is made; one that is loaded keeps its own. */
  readonly keyAlgorithm: KeyAlgorithmName;
}

export interface OpenedRoot {
  readonly authority: Authority;
  /** It was not there before. */
  readonly isNew: boolean;
  /** What the operator should know: others can read the key. */
  readonly warnings: readonly string[];
}

/** Loads the root of a folder, or makes both. Rejects with a MeshError that says what is wrong and what to do. */
export async function openRootFolder(options: RootFolderOptions): Promise<OpenedRoot> {
  const trustDomain = parseTrustDomain(options.trustDomain);
  if (typeof trustDomain !== 'string')
    throw new MeshError(
      'identity_invalid',
      `Cannot use trust domain "${options.trustDomain}": ${trustDomain.problem}`,
    );
  const certificateFile = join(options.folder, ROOT_CERTIFICATE_FILE);
  const keyFile = join(options.folder, ROOT_KEY_FILE);
  const hasCertificate = await exists(certificateFile);
  const hasKey = await exists(keyFile);
  if (hasCertificate && hasKey) return load(trustDomain, certificateFile, keyFile);
  if (hasCertificate || hasKey) {
    const [there, missing] = hasCertificate ? [certificateFile, keyFile] : [keyFile, certificateFile];
    throw new MeshError(
      'identity_invalid',
      `Cannot use the root of "${options.folder}": "${there}" is there and "${missing}" is missing; restore it, or remove the other one to make a new root that nobody trusts yet`,
    );
  }
  return create(trustDomain, options, certificateFile, keyFile);
}

async function load(trustDomain: TrustDomain, certificateFile: string, keyFile: string): Promise<OpenedRoot> {
  try {
    const certificatePem = await readBounded(certificateFile);
    const keyPem = await readBounded(keyFile);
    const authority = await Authority.loadRoot(trustDomain, certificatePem, keyPem);
    const { mode } = await stat(keyFile);
    const isOpen = (mode & 0o077) !== 0;
    const warning = `"${keyFile}" can be read by others (mode ${(mode & 0o777).toString(8)}); chmod 600 it`;
    return { authority, isNew: false, warnings: isOpen ? [warning] : [] };
  } catch (thrown) {
    const code = thrown instanceof MeshError ? thrown.code : 'identity_invalid';
    throw new MeshError(
      code,
      `Cannot use the root of "${certificateFile}" and "${keyFile}": ${whyOf(thrown)}; restore the pair, or remove both to make a new root`,
      { cause: thrown },
    );
  }
}

async function create(
  trustDomain: TrustDomain,
  options: RootFolderOptions,
  certificateFile: string,
  keyFile: string,
): Promise<OpenedRoot> {
  const authority = await Authority.createRoot(trustDomain, { keyAlgorithm: options.keyAlgorithm });
  try {
    const made = await mkdir(options.folder, { recursive: true, mode: 0o700 });
    // Only a folder of our making: one that was there may be shared on purpose, and the key has its own mode.
    if (made !== undefined) await chmod(options.folder, 0o700);
    // The key first: with it alone, the next start says what is missing, and no root was given to anybody.
    await writeNew(keyFile, await authority.exportPrivateKey(), 0o600);
    await writeNew(certificateFile, authority.certificatePem, 0o644);
    await syncFolder(options.folder);
  } catch (thrown) {
    throw new MeshError(
      'identity_invalid',
      `Cannot write the new root to "${options.folder}": ${messageOf(thrown)}; correct the path or the permissions`,
      { cause: thrown },
    );
  }
  return { authority, isNew: true, warnings: [] };
}

/** Whole or not at all, and never over a file that somebody else made meanwhile. */
async function writeNew(file: string, content: string, mode: number): Promise<void> {
  const fresh = join(dirname(file), `.fresh-${randomBytes(8).toString('hex')}`);
  try {
    const handle = await open(fresh, 'wx', mode);
    try {
      await handle.chmod(mode);
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    // Unlike a rename, a link fails if the name is taken: two CAs that start at once make one root.
    await link(fresh, file);
  } finally {
    await rm(fresh, { force: true });
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A link that leads nowhere counts: what it stands for is missing, not absent. */
async function exists(file: string): Promise<boolean> {
  try {
    await lstat(file);
    return true;
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return false;
    throw new MeshError('identity_invalid', `Cannot read "${file}": ${messageOf(thrown)}`, { cause: thrown });
  }
}
