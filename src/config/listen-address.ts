/**
 * Where a listener of ours listens.
 */

/** Port 0 picks a free one. */
export interface ListenAddress {
  readonly bind: string;
  readonly port: number;
}
