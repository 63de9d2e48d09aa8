/**
 * The certificate and key files that DestinationRules name (`caCertificates`, `clientCertificate`, `privateKey`):
 * read and checked before the snapshot that needs them, watched as long as it is in force.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { watchConfig } from './config/watch-config.ts';
import type { ConfigWatcher } from './config/watch-config.ts';
import type { TlsFileTexts } from './control-data-halves.ts';
import { messageOf } from './core/errors.ts';
import { readBounded } from './identity/read-bounded.ts';
import type { ExternalClusterTls, Snapshot } from './mesh/plan.ts';
import { parseCertificates, parsePem } from './svid/pem.ts';

export class ControlTlsFiles {
  readonly #onChange: () => void;
  #watcher: ConfigWatcher | null = null;
  #inForce: TlsFileTexts = {};

  #isClosed = false;

  /** `onChange`: one of the files that are in use, or that were asked for since, was replaced. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** Text by path of all files that the snapshot needs; rejects with path, reason and fix if one cannot be used. */
  async read(snapshot: Snapshot): Promise<TlsFileTexts> {
    const settings = externalTlsOf(snapshot);
    const texts: Record<string, string> = {};
    const paths = pathsOf(settings);
    // Before they are read, so that no change falls in between; one that is missing may come.
    this.#watch([...Object.keys(this.#inForce), ...paths]);
    for (const file of paths) texts[file] = await readFile(file);
    for (const { caCertificates, clientCertificate, privateKey } of settings) {
      for (const file of [caCertificates, clientCertificate])
        if (file !== '') checkCertificates(file, texts[file] ?? '');
      if (clientCertificate !== '' && privateKey !== '')
        checkPair(clientCertificate, privateKey, texts[clientCertificate] ?? '', texts[privateKey] ?? '');
    }
    return texts;
  }

  /** Whether these say something else than those that were noted last. */
  differ(texts: TlsFileTexts): boolean {
    const paths = Object.keys(texts);
    const known = Object.keys(this.#inForce);
    return paths.length !== known.length || paths.some((path) => texts[path] !== this.#inForce[path]);
  }

  /** These are in force from now on, and watched. */
  note(texts: TlsFileTexts): void {
    this.#inForce = texts;
    this.#watch(Object.keys(texts));
  }

  #watch(paths: readonly string[]): void {
    if (this.#isClosed) return;
    if (this.#watcher !== null) this.#watcher.setPaths([...new Set(paths)]);
    else if (paths.length > 0) this.#watcher = watchConfig(paths, this.#onChange);
  }

  close(): void {
    this.#isClosed = true;
    this.#watcher?.close();
    this.#watcher = null;
  }
}

function externalTlsOf(snapshot: Snapshot): ExternalClusterTls[] {
  return Object.values(snapshot.outbound.clusters)
    .map(({ tls }) => tls)
    .filter((tls) => tls?.kind === 'external');
}

function pathsOf(settings: readonly ExternalClusterTls[]): Set<string> {
  const paths = settings.flatMap((tls) => [tls.caCertificates, tls.clientCertificate, tls.privateKey]);
  return new Set(paths.filter((path) => path !== ''));
}

async function readFile(file: string): Promise<string> {
  try {
    return await readBounded(file);
  } catch (thrown) {
    const fix = 'correct the path in the DestinationRule or the permissions';
    throw new Error(`Cannot read "${file}": ${messageOf(thrown)}; ${fix}`, { cause: thrown });
  }
}

function checkCertificates(file: string, text: string): readonly X509Certificate[] {
  const parsed = parseCertificates(text);
  if ('problem' in parsed) throw unusable(file, parsed.problem);
  try {
    return parsed.map((der) => new X509Certificate(der));
  } catch {
    throw unusable(file, 'one of its certificates cannot be read');
  }
}

function checkPair(certificateFile: string, keyFile: string, certificate: string, key: string): void {
  const [leaf] = checkCertificates(certificateFile, certificate);
  const blocks = parsePem(key);
  if ('problem' in blocks) throw unusable(keyFile, blocks.problem);
  let fits: boolean;
  try {
    fits = leaf?.checkPrivateKey(createPrivateKey(key)) === true;
  } catch {
    // The library's message is left out: it is about the bytes of a key.
    throw unusable(keyFile, 'it is not an unencrypted private key in PEM');
  }
  if (!fits) throw unusable(keyFile, `it does not fit the first certificate of "${certificateFile}"`);
}

function unusable(file: string, problem: string): Error {
  return new Error(`Cannot use "${file}": ${problem}; write the file anew, as PEM`);
}
