/** What to change when a port cannot be opened. */

/** `section` and `port` are names of settings: `intercept` and `inboundPort`. */
export function listenFix(thrown: unknown, section: string, port: string): string {
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : '';
  if (code === 'EADDRNOTAVAIL') return `set ${section}.bind to an address of this host`;
  if (code === 'EACCES')
    return `set ${section}.${port} to a port from 1024 on, or let this process open lower ones`;
  return `free the port or set ${section}.${port}`;
}
