/** Scenario: every private key that somebody in this process has held is looked for in files, and is in none. */
import { homedir, tmpdir } from 'node:os';
import { realpath } from 'node:fs/promises';
import type { Observation, Scenario } from './check.ts';
import type { DemoMesh } from './demo-mesh.ts';
import { searchFolder, searchOpenFiles } from './file-search.ts';
import { findKey, keyForms } from './key-forms.ts';

export const privateKeys: Scenario = {
  title: 'Private keys',
  checks: [{ name: 'keys in files', expected: 'in no file', observe }],
};

async function observe(mesh: DemoMesh): Promise<Observation> {
  mesh.noteKeys();
  const keys = mesh.identity.heldKeys().map(({ of, pem }) => keyForms(of, pem));
  const found: string[] = [];
  const look = (file: string, content: Buffer): void => {
    const what = findKey(content, keys);
    if (what !== null) found.push(`${what} in ${file}`);
  };
  const own = await searchFolder(mesh.folder.path, look);
  if (own.leftOut !== '') throw new Error(`the demo's own folder was not searched: ${own.leftOut}`);
  const openFiles = await searchOpenFiles(look);
  let files = own.files + openFiles.files;
  const searched = [mesh.folder.path];
  const leftOut = openFiles.leftOut === '' ? [] : [`of open files: ${openFiles.leftOut}`];
  const others = new Set(await Promise.all([homedir(), tmpdir(), process.cwd()].map(resolved)));
  for (const folder of others) {
    const other = await searchFolder(folder, look);
    files += other.files;
    if (other.leftOut === '') searched.push(folder);
    else leftOut.push(`${folder}: ${other.leftOut}`);
  }
  const [first] = found;
  return {
    got: first === undefined ? 'in no file' : first,
    notes: [
      `${keys.length} keys of agents, CA and token issuer, as PEM, DER and JWK, in ${files} files: ` +
        `open ones and those in ${searched.join(', ')}`,
      ...(leftOut.length === 0 ? [] : [`not searched: ${leftOut.join('; ')}`]),
      ...found.slice(1, 10).map((more) => `also ${more}`),
    ],
  };
}

/** One folder may have several names. */
async function resolved(folder: string): Promise<string> {
  try {
    return await realpath(folder);
  } catch {
    return folder;
  }
}
