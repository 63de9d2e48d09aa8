/**
 * What the control half hands to the data half as identity: plain, structured-cloneable values.
 *
 * Private keys live here in memory only; never log, dump or write a value of this type.
 */

/** One version of the workload's certificate, key and trust bundles. */
export interface SecretMaterial {
  /** Grows with every change of any part. */
  readonly version: number;
  /** Grows only when `bundles` or `crlPem` change: session tickets are bound to it. */
  readonly trustVersion: number;
  /** Leaf first, PEM. */
  readonly certificateChainPem: string;
  readonly privateKeyPem: string;
  /** Root certificates (PEM, any number in one string) by trust domain, never as one pool. */
  readonly bundles: Readonly<Record<string, string>>;
  /** 32 random bytes made by the control half per trust version, shared by all workers. */
  readonly ticketSecret: Uint8Array;
}

/** Where secrets come from: files, SDS or the Workload API. Lives in the control half. */
export interface SecretSource {
  /**
   * Calls back with every new good version, the first one included; `onError` keeps the last good one.
   * `onWaiting`: what is missing before the first version can be given out, each time it changes; '' once nothing is.
   * Only a source that may resolve without a first version calls it.
   */
  start(
    onSecret: (secret: SecretMaterial) => void,
    onError: (message: string) => void,
    onWaiting?: (why: string) => void,
  ): Promise<void>;
  stop(): void;
}
