/**
 * The one table of ca.yaml: every key with its type, default and meaning.
 */
import { CERTIFICATE_KEYS, key, later } from './config-key.ts';
import type { ConfigKey } from './config-key.ts';

export const CA_KEYS: readonly ConfigKey[] = [
  key('listen.bind', 'bind', '127.0.0.1', 'address that agents connect to'),
  key('listen.port', 'port', '15012', 'port that agents connect to'),
  key(
    'listen.names',
    'entries',
    null,
    'DNS names and IP addresses of the server certificate, besides istiod.istio-system.svc and localhost',
  ),
  key('trustDomain', 'trustDomain', 'cluster.local', 'trust domain of every identity that is signed'),
  key(
    'root.selfSigned.folder',
    'path',
    null,
    'folder that keeps the root and its key; without it they are kept in memory only',
  ),
  later(
    'root.pluggedIn.folder',
    'path',
    null,
    'folder of ca-cert.pem, ca-key.pem, cert-chain.pem and root-cert.pem',
    'use root.selfSigned',
  ),
  {
    ...key('key', 'choice', 'ecdsa-p256', 'kind of key pair of the root'),
    values: CERTIFICATE_KEYS,
  },
  key('ttl.default', 'lifetime', '24h', 'lifetime of a certificate whose request names none'),
  key('ttl.max', 'lifetime', '2160h', 'longest lifetime that a request may name'),
  key(
    'tokens',
    'entries',
    null,
    'how the tokens of callers are verified, tried in order; each {development: {issuer, publicKey, audiences}}',
  ),
  key('admin.bind', 'bind', '127.0.0.1', 'loopback address of the admin server'),
  key('admin.port', 'port', '15014', 'port of the admin server'),
];
