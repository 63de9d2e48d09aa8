/** Where a listener of a Sidecar is opened, and what it is called; no two at one place. */
import { isIPv4, isIPv6 } from 'node:net';
import type { Sidecar } from '../config/resources.ts';
import { canonicalIp } from './address-blocks.ts';
import { nameOf } from './plan-warning.ts';
import type { WarningList } from './warning-list.ts';

export interface ListenerPlace {
  readonly key: string;
  readonly bind: string;
  readonly port: number;
}

/** Gives places to listeners of one kind; `taken` is shared by both kinds. */
export class ListenerPlaces {
  readonly #keys = new Set<string>();
  readonly #taken: Map<string, string>;
  readonly #sidecar: Sidecar;
  readonly #warnings: WarningList;

  constructor(taken: Map<string, string>, sidecar: Sidecar, warnings: WarningList) {
    this.#taken = taken;
    this.#sidecar = sidecar;
    this.#warnings = warnings;
  }

  /** null: it cannot be opened there, and a warning says why. `path`: of the listener in its document. */
  take(given: string, port: number, path: string): ListenerPlace | null {
    const bind = canonicalIp(given) ?? given;
    if (!isIPv4(bind) && !isIPv6(bind)) {
      this.refuse(path, `${path}.bind`, `binds "${given}", which is no IP address`, 'write an IP address');
      return null;
    }
    const place = bind.includes(':') ? `[${bind}]:${port}` : `${bind}:${port}`;
    const owner = this.#taken.get(place);
    if (port !== 0 && owner !== undefined) {
      this.refuse(path, path, `wants ${place}, which ${owner} has`, 'give it another port or bind');
      return null;
    }
    this.#taken.set(place, path);
    const key = this.#keys.has(String(port)) ? this.#freeKey(place) : String(port);
    this.#keys.add(key);
    return { key, bind, port };
  }

  /** Says that the listener at `path` is not opened. */
  refuse(path: string, at: string, why: string, fix: string): void {
    const message = `the listener ${path} of ${nameOf(this.#sidecar)} ${why}: it is not opened`;
    this.#warnings.add('unusable_listener', this.#sidecar, at, message, fix);
  }

  /** Says that none of the services that the listener at `path` lets through can be reached by it. */
  warnOfNothing(path: string, port: number): void {
    const what = port === 0 ? 'service that it could carry' : `service with port ${port} that it could carry`;
    this.#warnings.add(
      'selects_nothing',
      this.#sidecar,
      `${path}.hosts`,
      `the listener ${path} of ${nameOf(this.#sidecar)} lets through no ${what}: it refuses everything`,
      'name hosts as namespace/host, and give the listener the port of the service',
    );
  }

  /** Several free ports on one address. */
  #freeKey(place: string): string {
    let key = place;
    for (let number = 2; this.#keys.has(key); number++) key = `${place}#${number}`;
    return key;
  }
}
