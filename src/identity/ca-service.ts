/**
 * What the CA answers: who asks is proved by a token, the certificate is for that identity, and of the request only
 * the key and the time count. Every refusal has a code for the log and a status for the caller, from one table.
 */
import type { JsonObject } from '@bufbuild/protobuf';
import { type ErrorCodeName, MeshError, messageOf } from '../core/errors.ts';
import type { Log } from '../observe/log.ts';
import { SpiffeId } from '../svid/spiffe-id.ts';
import type { Authority, LeafCertificate } from './authority.ts';
import type { CaCounters } from './ca-counters.ts';
import { checkCsr } from './csr-check.ts';
import type { ServiceAccount } from './service-account.ts';
import { formatGoSeconds } from './go-duration.ts';
import type { TokenVerifier } from './token-verify.ts';

export interface CaServiceOptions {
  readonly authority: Authority;
  readonly verifier: TokenVerifier;
  readonly ttl: { readonly defaultMs: number; readonly maxMs: number };
  readonly counters: CaCounters;
  readonly log: Log;
}

/** One call, free of its transport. */
export interface CertificateCall {
  /** Values of the `authorization` metadata, as they came. */
  readonly authorization: readonly string[];
  readonly csrPem: string;
  readonly validitySeconds: bigint;
  readonly metadata: JsonObject;
  /** For the log. */
  readonly peer: string;
}

export type CallerStatus = 'UNAUTHENTICATED' | 'PERMISSION_DENIED' | 'INVALID_ARGUMENT' | 'INTERNAL';

/** What a caller is told of a refusal. */
export class CaRefusal extends Error {
  readonly code: ErrorCodeName;
  readonly status: CallerStatus;

  constructor(code: ErrorCodeName, status: CallerStatus, message: string) {
    super(message);
    this.name = 'CaRefusal';
    this.code = code;
    this.status = status;
  }
}

/** Istio's text, whatever is wrong with a token: who guesses learns nothing. */
const NOT_AUTHENTICATED = 'request authenticate failure';
const NOT_IMPERSONATED = 'request impersonation authentication failure';
const BEARER = /^Bearer +([\w.~+/-]+=*)$/;

export interface CaService {
  /** Answers with the leaf, the intermediates and, last, the root; rejects with `CaRefusal`. */
  createCertificate(call: CertificateCall): Promise<readonly string[]>;
}

export function createCaService(options: CaServiceOptions): CaService {
  const { authority, counters, log } = options;

  const issue = async (call: CertificateCall, caller: ServiceAccount): Promise<LeafCertificate> => {
    const impersonated = call.metadata['ImpersonatedIdentity'];
    if (impersonated !== undefined && impersonated !== '' && impersonated !== null)
      throw new MeshError('impersonation_refused', 'ImpersonatedIdentity is set');
    const csr = checkCsr(call.csrPem, caller);
    const spiffeId = SpiffeId.ofServiceAccount(
      authority.trustDomain,
      caller.namespace,
      caller.serviceAccount,
    ).text;
    const ttlMs = lifetimeOf(call.validitySeconds, options.ttl);
    const { publicKey } = csr;
    const leaf = await authority.issue({ spiffeId, publicKey, ttlMs, commonName: csr.hasCommonName });
    counters.issued++;
    const notAfter = new Date(leaf.notAfterMs).toISOString();
    const fields = { caller: nameOf(caller), spiffeId, serial: leaf.serial, notAfter, peer: call.peer };
    log.info('certificate_issued', fields, 'Issued a certificate');
    return leaf;
  };

  return {
    async createCertificate(call) {
      let caller: ServiceAccount | null = null;
      try {
        caller = await options.verifier.verify(bearerOf(call.authorization));
        const { chainPem } = await issue(call, caller);
        return [...splitPem(chainPem), authority.rootPem];
      } catch (thrown) {
        const error =
          thrown instanceof MeshError ? thrown : new MeshError('signing_failed', messageOf(thrown));
        const refusal = refusalOf(error);
        counters.refuse(refusal.code);
        const fields = {
          ...(caller === null ? {} : { caller: nameOf(caller) }),
          peer: call.peer,
          status: refusal.status,
          why: error.detail === '' ? error.message : error.detail,
        };
        if (refusal.status === 'INTERNAL') log.error(refusal.code, fields, 'Cannot issue a certificate');
        else log.warn(refusal.code, fields, 'Refused a certificate request');
        throw refusal;
      }
    },
  };
}

function nameOf(caller: ServiceAccount): string {
  return `${caller.namespace}/${caller.serviceAccount}`;
}

/** '' for none. Two are refused rather than one of them chosen. */
function bearerOf(authorization: readonly string[]): string {
  if (authorization.length > 1)
    throw new MeshError('token_invalid', `there are ${authorization.length} authorization headers`);
  const [value] = authorization;
  if (value === undefined) return '';
  const token = BEARER.exec(value)?.[1];
  if (token === undefined)
    throw new MeshError('token_invalid', 'the authorization header is not "Bearer TOKEN"');
  return token;
}

function lifetimeOf(seconds: bigint, ttl: CaServiceOptions['ttl']): number {
  if (seconds <= 0n) return ttl.defaultMs;
  // In whole numbers of any size: a caller's 2^63 must not turn into something short, or negative.
  if (seconds * 1000n <= BigInt(ttl.maxMs)) return Number(seconds) * 1000;
  const max = formatGoSeconds(BigInt(Math.floor(ttl.maxMs / 1000)));
  throw new MeshError(
    'csr_ttl_too_long',
    `requested TTL ${formatGoSeconds(seconds)} is greater than the max allowed TTL ${max}`,
  );
}

/** What is not here is a fault of ours, and INTERNAL. */
const STATUS: Readonly<Partial<Record<ErrorCodeName, CallerStatus>>> = {
  token_missing: 'UNAUTHENTICATED',
  token_invalid: 'UNAUTHENTICATED',
  token_expired: 'UNAUTHENTICATED',
  token_wrong_issuer: 'UNAUTHENTICATED',
  token_wrong_audience: 'UNAUTHENTICATED',
  token_wrong_subject: 'UNAUTHENTICATED',
  impersonation_refused: 'UNAUTHENTICATED',
  csr_identity_mismatch: 'PERMISSION_DENIED',
  csr_ttl_too_long: 'INVALID_ARGUMENT',
  csr_invalid: 'INVALID_ARGUMENT',
  csr_weak_key: 'INVALID_ARGUMENT',
};

function refusalOf(error: MeshError): CaRefusal {
  const { code, detail, message } = error;
  const status = STATUS[code] ?? 'INTERNAL';
  if (status === 'INTERNAL')
    return new CaRefusal('signing_failed', status, 'CSR signing error (the CA cannot sign now)');
  if (status === 'INVALID_ARGUMENT') return new CaRefusal(code, status, `CSR signing error (${detail})`);
  if (status === 'PERMISSION_DENIED') return new CaRefusal(code, status, `${code}: ${message}`);
  return new CaRefusal(code, status, code === 'impersonation_refused' ? NOT_IMPERSONATED : NOT_AUTHENTICATED);
}

/** One element a certificate, as Istio answers. */
function splitPem(pem: string): string[] {
  return pem.split(/(?<=-----END CERTIFICATE-----\n)/);
}
