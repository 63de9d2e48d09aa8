/** What the control half counts: configuration and identity. Times are milliseconds since the epoch, 0 for never. */
export class ControlCounters {
  startedAtMs: number = Date.now();
  /** Data halves: worker threads, or one in this thread. */
  workers = 1;
  /** Of the configuration in force. */
  generation = 0;
  /** When it was loaded. */
  loadedAtMs = 0;
  /** Configurations taken after the first. */
  reloads = 0;
  reloadsRefused = 0;
  /** Certificates taken, the first one included. */
  rotations = 0;
  secretsRefused = 0;
  /** Of the own leaf. */
  certificateNotAfterMs = 0;
  /** Of the root that expires first. */
  rootNotAfterMs = 0;
}
