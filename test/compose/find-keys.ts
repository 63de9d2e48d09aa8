/**
 * Runs in a container: `node find-keys.ts FOLDER…` prints every file below and which of them hold a private key.
 *
 * It stands alone: nothing else of this checkout is in there.
 */
import { lstatSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

export interface KeySearch {
  readonly files: readonly string[];
  readonly withKey: readonly string[];
  /** Larger than anything that we write: Node itself. */
  readonly notRead: readonly string[];
}

const MAX_FILE_BYTES = 32 * 1024 * 1024;
const NOT_FILES = new Set(['/proc', '/sys', '/dev']);

/** Text forms; the words alone stand in many programs. */
const PEM = /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[\w+/=\s]{40,}-----END/;
const JWK = /"d"\s*:\s*"[\w-]{40,}"/;
/** How a key begins in binary: PKCS #8 of P-256, P-384 and RSA, SEC 1 of P-256 and P-384. */
const DER = [
  '020100301306072a8648ce3d0201',
  '020100301006072a8648ce3d0201',
  '020100300d06092a864886f70d0101010500',
  '30770201010420',
  '3081a40201010430',
].map((hex) => Buffer.from(hex, 'hex'));

const files: string[] = [];
const withKey: string[] = [];
const notRead: string[] = [];
for (const folder of process.argv.slice(2)) search(folder);
process.stdout.write(JSON.stringify({ files, withKey, notRead } satisfies KeySearch));

function search(file: string): void {
  if (NOT_FILES.has(file)) return;
  const found = lstatSync(file);
  if (found.isDirectory()) {
    for (const name of readdirSync(file)) search(path.join(file, name));
    return;
  }
  files.push(file);
  if (!found.isFile()) return;
  if (found.size > MAX_FILE_BYTES) notRead.push(file);
  else if (holdsKey(readFileSync(file))) withKey.push(file);
}

function holdsKey(bytes: Buffer): boolean {
  const text = bytes.toString('latin1');
  return PEM.test(text) || JWK.test(text) || DER.some((prefix) => bytes.includes(prefix));
}
