/** What the control half counts: configuration and identity. Times are milliseconds since the epoch, 0 for never. */
export class ControlCounters {
  startedAtMs: number = Date.now();
  /** Data halves: worker threads, or one in this thread. */
  workers = 1;
  /** Those that serve now. */
  workersLive = 0;
  /** Workers started in the place of one that ended. */
  workerRestarts = 0;
  /** Connections that were open in a worker when it ended, as far as it had told. */
  workerConnectionsLost = 0;
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
  /** When the certificate or the bundle in force was taken. */
  secretTakenAtMs = 0;
  /** 1 while the SDS server is connected; null: the identity does not come from one. */
  sdsConnected: number | null = null;
  /** Key sets that rules of RequestAuthentications name; null: they name none. */
  jwksSets: number | null = null;
  /** Those that were never fetched. */
  jwksSetsMissing: number | null = null;
  /** When the one was fetched that was fetched longest ago. */
  jwksOldestFetchMs: number | null = null;
  jwksFetchSuccess = 0;
  jwksFetchFailed = 0;
}
