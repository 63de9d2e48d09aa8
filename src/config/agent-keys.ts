/**
 * The one table of agent.yaml: every key with its type, default and meaning.
 */
import { CERTIFICATE_KEYS, key, later } from './config-key.ts';
import type { ConfigKey } from './config-key.ts';

const INSTEAD_OF_KUBERNETES = 'use ca.address and ca.root';

export const AGENT_KEYS: readonly ConfigKey[] = [
  key('workload.namespace', 'name', null, 'namespace of the workload; required'),
  key('workload.serviceAccount', 'name', null, 'service account of the workload; required'),
  key('socket.path', 'socketPath', null, 'Unix socket of the SDS server; required, at most 107 bytes'),
  key('socket.mode', 'fileMode', '0600', 'who may connect to it, in octal and in quotes'),
  key('socket.uids', 'entries', null, 'user ids that may connect to it; none: socket.mode decides'),
  key('ca.address', 'endpoint', null, 'HOST:PORT of the CA; required'),
  key(
    'ca.root',
    'path',
    null,
    'PEM file of the roots that the server certificate of the CA chains to; required',
  ),
  key('ca.serverName', 'host', 'istiod.istio-system.svc', 'DNS name in the server certificate of the CA'),
  later('ca.kubernetesCsr.server', 'text', null, 'URL of a Kubernetes API server', INSTEAD_OF_KUBERNETES),
  later('ca.kubernetesCsr.ca', 'path', null, 'PEM file of its roots', INSTEAD_OF_KUBERNETES),
  later('ca.kubernetesCsr.tokenFile', 'path', null, 'token that is sent to it', INSTEAD_OF_KUBERNETES),
  later('ca.kubernetesCsr.signerName', 'text', null, 'who is to sign', INSTEAD_OF_KUBERNETES),
  key(
    'token.file',
    'path',
    null,
    'token that is sent to the CA; without it, the one that came with the SDS stream',
  ),
  key('certificate.ttl', 'lifetime', '24h', 'lifetime that is asked for'),
  {
    ...key('certificate.key', 'choice', 'ecdsa-p256', 'kind of key pair that is made for it'),
    values: CERTIFICATE_KEYS,
  },
  {
    ...key('certificate.renewAt', 'fraction', '0.5', 'part of its lifetime after which it is renewed'),
    below: 1,
  },
  {
    ...key('certificate.jitter', 'fraction', '0.01', 'how far renewAt is moved at random, either way'),
    below: 0.5,
  },
  key('trustBundle.file', 'path', null, 'PEM file of roots that are added to those of the CA; watched'),
  key('readiness.bind', 'bind', '127.0.0.1', 'address of GET /healthz/ready'),
  key('readiness.port', 'port', '15020', 'port of GET /healthz/ready'),
];
