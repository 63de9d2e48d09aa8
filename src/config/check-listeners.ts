/**
 * Listeners of one configuration that are right alone and wrong together, and admin servers that others could reach.
 */
import { isLoopback } from '../core/address.ts';
import type { ConfigSettings } from './config-settings.ts';
import type { ListenAddress } from './listen-address.ts';

/** The settings `SECTION.bind` and `SECTION.port`. */
export function listenAddress(settings: ConfigSettings, section: string): ListenAddress {
  return { bind: settings.text(`${section}.bind`) ?? '', port: settings.number(`${section}.port`) ?? 0 };
}

/** `admin.bind` must be a loopback address: who reaches it may change what the process does. */
export function checkAdminBind(settings: ConfigSettings): void {
  const bind = settings.text('admin.bind') ?? '';
  if (bind === '' || bind === 'localhost' || isLoopback(bind)) return;
  const message = `the admin server would listen on "${bind}", which others can reach`;
  settings.report('admin.bind', 'bad_value', message, 'write a loopback address like 127.0.0.1');
}

/** Each of the settings `paths`, like `admin.port`, needs a port of its own where their addresses overlap. */
export function checkPorts(settings: ConfigSettings, paths: readonly string[]): void {
  const taken = new Map<number, string>();
  for (const path of paths) {
    const port = settings.number(path);
    if (port === null || port === 0) continue;
    const first = taken.get(port);
    if (first !== undefined && overlap(bindOf(settings, first), bindOf(settings, path))) {
      // Whichever was written is the one to change.
      const at = settings.get(path) === null ? first : path;
      settings.report(at, 'conflict', `${first} and ${path} are both ${port}`, 'give each its own port');
    }
    taken.set(port, first ?? path);
  }
}

/** Where the listener of `admin.port` listens. */
export function bindOf(settings: ConfigSettings, path: string): string {
  return settings.text(`${path.split('.', 1)[0] ?? ''}.bind`) ?? '';
}

/** Whether a connection to `host` surely arrives at a listener on `bind`. */
export function reaches(host: string, bind: string): boolean {
  const local = host === 'localhost' || isLoopback(host) || isAnyAddress(host);
  return host === bind || (local && isAnyAddress(bind)) || (host === 'localhost' && isLoopback(bind));
}

/** Whether listeners on both addresses with one port would collide. */
function overlap(a: string, b: string): boolean {
  return a === b || isAnyAddress(a) || isAnyAddress(b);
}

function isAnyAddress(bind: string): boolean {
  return bind === '0.0.0.0' || bind === '::';
}
