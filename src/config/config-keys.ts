/**
 * The one table of postern.yaml: every key with its type, default and meaning.
 *
 * Validation, defaults, environment variables, `--help` and the README are all made from it.
 */
import { DEFAULT_LIMITS, LIMIT_MEANINGS } from '../core/limits.ts';
import { MAX_DURATION_MS } from './duration.ts';

export type ConfigKeyType =
  /** Any text that is not empty. */
  | 'text'
  /** A Kubernetes name. */
  | 'name'
  /** A file or folder; relative to the folder of postern.yaml, on flags and in the environment to the working directory. */
  | 'path'
  /** `unix:PATH`. */
  | 'socket'
  /** An IP address to listen on. */
  | 'bind'
  /** A host name or an IP address. */
  | 'host'
  /** 0 to 65535; 0 picks a free port. */
  | 'port'
  /** `HOST:PORT`. */
  | 'endpoint'
  | 'integer'
  | 'duration'
  /** A mapping of label to value; `k=v,k=v` as text. */
  | 'labels'
  /** One of `values`. */
  | 'choice'
  /** A list of paths, or of `{path, namespace}`; in the file only. */
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
  /** It is understood, and using it is an error that says so. */
  readonly notUsableYet?: true;
}

const key = (path: string, type: ConfigKeyType, fallback: string | null, meaning: string): ConfigKey => ({
  path,
  type,
  default: fallback,
  meaning,
});
const later = (path: string, type: ConfigKeyType, fallback: string | null, meaning: string): ConfigKey => ({
  ...key(path, type, fallback, meaning),
  notUsableYet: true,
});

export const CONFIG_KEYS: readonly ConfigKey[] = [
  key('workload.namespace', 'name', null, 'namespace of the workload; required'),
  key('workload.serviceAccount', 'name', null, 'service account of the workload; required'),
  key(
    'workload.name',
    'name',
    null,
    'name of the workload in logs and the ready line; default: the service account',
  ),
  key('workload.labels', 'labels', null, 'labels that selectors of policies and Services match'),
  later('identity.sds', 'socket', null, 'SDS server that gives certificate and trust bundle'),
  later('identity.certificateName', 'text', 'default', 'SDS name of the certificate'),
  later('identity.bundleName', 'text', 'ROOTCA', 'SDS name of the trust bundle'),
  later('identity.tokenFile', 'path', null, 'token that is sent to the SDS server'),
  key('identity.files.certificateChain', 'path', null, 'PEM file of the certificate, leaf first; watched'),
  key('identity.files.privateKey', 'path', null, 'PEM file of its key; watched'),
  key('identity.files.trustBundle', 'path', null, 'PEM file of the roots that peers chain to; watched'),
  later('identity.files.crl.file', 'path', null, 'PEM file of certificate revocation lists'),
  {
    ...later('identity.files.crl.onExpired', 'choice', 'refuse', 'what an expired revocation list means'),
    values: ['refuse', 'accept'],
  },
  later('identity.workloadApi', 'socket', null, 'SPIFFE Workload API server'),
  key(
    'config',
    'entries',
    null,
    'files and folders of Istio documents, each a path or {path, namespace}; watched',
  ),
  key('intercept.bind', 'bind', '0.0.0.0', 'address that redirected connections arrive at'),
  key('intercept.port', 'port', '15001', 'port that redirected connections arrive at, both directions'),
  key('intercept.inboundPort', 'port', null, 'port for inbound connections only'),
  key('intercept.direct', 'endpoint', null, 'app that connections which were not redirected are meant for'),
  key('app.host', 'host', '127.0.0.1', 'where the app listens'),
  key('admin.bind', 'bind', '127.0.0.1', 'loopback address of the admin server'),
  key('admin.port', 'port', '15000', 'port of the admin server'),
  key('readiness.bind', 'bind', '0.0.0.0', 'address of GET /healthz/ready'),
  key('readiness.port', 'port', '15021', 'port of GET /healthz/ready'),
  key('metrics.bind', 'bind', '0.0.0.0', 'address of GET /stats/prometheus'),
  key('metrics.port', 'port', '15090', 'port of GET /stats/prometheus'),
  {
    ...key('concurrency', 'integer', '1', 'worker threads; this version runs 1'),
    min: 0,
    max: 1_024,
  },
  key('accessLog.path', 'path', '/dev/stdout', 'where the access log goes; no accessLog: as MeshConfig says'),
  { ...key('accessLog.format', 'choice', 'json', 'form of its lines'), values: ['json', 'text'] },
  key('drain', 'duration', '5s', 'after SIGTERM, how long open TCP connections go on'),
  key('drainMax', 'duration', '45s', 'after SIGTERM, how long requests under way may take'),
  ...limitKeys(),
];

function limitKeys(): ConfigKey[] {
  const defaults: Readonly<Record<string, number | null>> = { ...DEFAULT_LIMITS };
  return Object.entries(LIMIT_MEANINGS).map(([name, meaning]) => ({
    path: `limits.${name}`,
    type: 'integer',
    default: defaults[name]?.toString() ?? null,
    meaning,
    // 0 means "off" for these; for any other limit it would mean that nothing works.
    min: name === 'maxConnectionAgeMs' || name === 'maxIdlePerEndpoint' ? 0 : 1,
    max: MAX_DURATION_MS,
  }));
}

/** `intercept.inboundPort` → `POSTERN_INTERCEPT_INBOUNDPORT`; null for what only the file can say. */
export function environmentName(configKey: ConfigKey): string | null {
  return configKey.type === 'entries' ? null : `POSTERN_${configKey.path.replaceAll('.', '_').toUpperCase()}`;
}
