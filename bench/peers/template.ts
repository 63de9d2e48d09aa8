/**
 * The peers' settings: templates of this folder in which `__WORD__` stands for what a run has chosen.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SERVER_URI } from '../certificates.ts';
import type { PeerSetup } from './peer.ts';

/** Fills a template of this folder; a word that nothing fills is an error. */
export function fillTemplate(name: string, setup: PeerSetup): string {
  const words: Readonly<Record<string, string>> = {
    FOLDER: setup.folder,
    PORT: String(setup.port),
    ADMIN_PORT: String(setup.adminPort),
    APP_PORT: String(setup.appPort),
    PORT_NAME: setup.protocol,
    UPSTREAM_PORT: String(setup.upstreamPort),
    CERTIFICATE: setup.servers.server.certificate,
    KEY: setup.servers.server.key,
    ROOTS: setup.certificates.roots,
    CLIENT_CERTIFICATE: setup.certificates.client.certificate,
    CLIENT_KEY: setup.certificates.client.key,
    SERVER_URI,
    SERVER_ROOTS: setup.servers.roots,
    WORKERS: String(setup.workers),
    IDLE_MS: String(setup.idleMs),
    SERVER_BUNDLE: setup.certificates.serverBundle,
    ACCESS_LOG: join(setup.folder, 'access.log'),
  };
  return readFileSync(join(import.meta.dirname, name), 'utf8').replaceAll(
    /__([A-Z_]+?)__/g,
    (_, word: string) => {
      const value = words[word];
      if (value === undefined) throw new Error(`Cannot fill "__${word}__" of ${name}: no such word`);
      return value;
    },
  );
}

/** Returns the path of the filled template in the peer's own folder. */
export function writeSettings(name: string, setup: PeerSetup, target: string = name): string {
  const path = join(setup.folder, target);
  writeFileSync(path, fillTemplate(name, setup));
  return path;
}
