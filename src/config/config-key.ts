/**
 * What a table of settings says of one key of postern.yaml, agent.yaml or ca.yaml.
 */

export type ConfigKeyType =
  /** Any text that is not empty. */
  | 'text'
  /** A Kubernetes name. */
  | 'name'
  /** A file or folder; relative to the folder of the file that says it, on flags and in the environment to the working directory. */
  | 'path'
  /** `unix:PATH`. */
  | 'socket'
  /** The path of a Unix socket that we make, without `unix:`. */
  | 'socketPath'
  /** Permissions of a file in octal, as text. */
  | 'fileMode'
  /** An IP address to listen on. */
  | 'bind'
  /** A host name or an IP address. */
  | 'host'
  /** 0 to 65535; 0 picks a free port. */
  | 'port'
  /** `HOST:PORT`. */
  | 'endpoint'
  | 'integer'
  /** A decimal number from 0 to less than `below`. */
  | 'fraction'
  | 'duration'
  /** A duration that may be longer than a timer can wait: of certificates. */
  | 'lifetime'
  /** A SPIFFE trust domain. */
  | 'trustDomain'
  /** A mapping of label to value; `k=v,k=v` as text. */
  | 'labels'
  /** One of `values`. */
  | 'choice'
  /** A list; in the file only. */
  | 'entries';

export interface ConfigKey {
  readonly path: string;
  readonly type: ConfigKeyType;
  /** As it would be written; null: none, the setting is off or must be given. */
  readonly default: string | null;
  readonly meaning: string;
  /** Of a choice. */
  readonly values?: readonly string[];
  /** Of an integer. */
  readonly min?: number;
  readonly max?: number;
  /** Of a fraction. */
  readonly below?: number;
  /** It is understood, and using it is an error that says so, and what to use instead. */
  readonly notUsableYet?: true;
  readonly instead?: string;
}

export function key(path: string, type: ConfigKeyType, fallback: string | null, meaning: string): ConfigKey {
  return { path, type, default: fallback, meaning };
}

/** A key that this version understands and cannot use yet. */
export function later(
  path: string,
  type: ConfigKeyType,
  fallback: string | null,
  meaning: string,
  instead: string,
): ConfigKey {
  return { ...key(path, type, fallback, meaning), notUsableYet: true, instead };
}

/** Kinds of key pairs that certificates are made for. */
export const CERTIFICATE_KEYS = ['ecdsa-p256', 'ecdsa-p384', 'rsa-2048'] as const;

/** `intercept.inboundPort` → `POSTERN_INTERCEPT_INBOUNDPORT`; null for what only the file can say. */
export function environmentName(configKey: ConfigKey): string | null {
  return configKey.type === 'entries' ? null : `POSTERN_${configKey.path.replaceAll('.', '_').toUpperCase()}`;
}
