/**
 * The one table of postern.yaml: every key with its type, default and meaning.
 *
 * Validation, defaults, environment variables, `--help` and the README are all made from it.
 */
import { DEFAULT_LIMITS, LIMIT_MEANINGS } from '../core/limits.ts';
import { key, later } from './config-key.ts';
import type { ConfigKey } from './config-key.ts';
import { MAX_DURATION_MS } from './duration.ts';

export { environmentName } from './config-key.ts';
export type { ConfigKey, ConfigKeyType } from './config-key.ts';

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
  key('identity.sds', 'socket', null, 'SDS server that gives certificate and trust bundle'),
  key('identity.certificateName', 'text', 'default', 'SDS name of the certificate'),
  key('identity.bundleName', 'text', 'ROOTCA', 'SDS name of the trust bundle'),
  key('identity.tokenFile', 'path', null, 'file of the token that is sent to the SDS server'),
  key('identity.files.certificateChain', 'path', null, 'PEM file of the certificate, leaf first; watched'),
  key('identity.files.privateKey', 'path', null, 'PEM file of its key; watched'),
  key('identity.files.trustBundle', 'path', null, 'PEM file of the roots that peers chain to; watched'),
  later('identity.files.crl.file', 'path', null, 'PEM file of certificate revocation lists', 'remove it'),
  {
    ...later(
      'identity.files.crl.onExpired',
      'choice',
      'refuse',
      'what an expired revocation list means',
      'remove it',
    ),
    values: ['refuse', 'accept'],
  },
  later(
    'identity.workloadApi',
    'socket',
    null,
    'SPIFFE Workload API server',
    'use identity.sds or identity.files',
  ),
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
    ...key('concurrency', 'integer', '1', 'worker threads; 0: one a core'),
    min: 0,
    max: 1_024,
  },
  key('accessLog.path', 'path', '/dev/stdout', 'where the access log goes; no accessLog: as MeshConfig says'),
  { ...key('accessLog.format', 'choice', 'json', 'form of its lines'), values: ['json', 'text'] },
  key(
    'jwks.allow',
    'entries',
    null,
    'CIDR blocks of loopback, link-local and own addresses that key sets may be fetched from all the same',
  ),
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
