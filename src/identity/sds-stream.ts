/**
 * One stream of an SDS server: what the client wants, what it was sent, what it said of that (xDS, state of the world).
 *
 *   request ─▶ names ─▶ provider ─▶ what is new ─▶ one answer in flight ─▶ the next only when it was taken
 *
 * A slow reader holds one answer; changes that come meanwhile are told by the next one. A refused answer is not
 * repeated: only a change brings another.
 */
import { createHash, randomBytes } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { type ServerDuplexStream, status } from '@grpc/grpc-js';
import { detach } from '../core/detach.ts';
import { whyOf } from '../core/errors.ts';
import type { Log } from '../observe/log.ts';
import { quoteText } from '../svid/quote-text.ts';
import type {
  DiscoveryRequest,
  DiscoveryResponse,
} from '../wire/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { DiscoveryResponseSchema } from '../wire/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { packBundle, packCertificate, SECRET_TYPE_URL, shortReason } from './sds-resources.ts';
import type { SecretProvider, WorkloadSecret } from './workload-secrets.ts';

export type SdsCall = ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>;

export interface SdsStreamOptions {
  readonly provider: SecretProvider;
  readonly certificateName: string;
  readonly bundleName: string;
  readonly log: Log;
}

/** Names in one request; there are two that anybody can want. */
const MAX_NAMES = 16;
/** Of a bearer token; Kubernetes' have about one thousand bytes. */
const MAX_TOKEN_LENGTH = 16_384;
const BEARER = /^Bearer +([\x21-\x7e]+)$/i;

export class SdsStream {
  readonly #call: SdsCall;
  readonly #options: SdsStreamOptions;
  readonly #open: Set<SdsStream>;
  readonly #token: string | null;
  #wanted: readonly string[] = [];
  /** Version of each name as sent last, refused or not. */
  readonly #sent = new Map<string, string>();
  /** Another prefix a stream, so that no nonce of an earlier one is taken for one of this. */
  readonly #noncePrefix = randomBytes(6).toString('base64url');
  #answers = 0;
  /** Of the last answer; '' before the first. */
  #nonce = '';
  #refusedNonce = '';
  #isBusy = false;
  #isStale = false;
  #isEnded = false;

  /** It is a member of `open` until it ends. */
  constructor(call: SdsCall, options: SdsStreamOptions, open: Set<SdsStream>) {
    this.#call = call;
    this.#options = options;
    this.#open = open;
    open.add(this);
    this.#token = readToken(call);
    call.on('data', (request: DiscoveryRequest) => this.#receive(request));
    call.on('end', () => this.#finish());
    call.on('cancelled', () => this.#forget());
    call.on('close', () => this.#forget());
    if (this.#token === null)
      this.#end(status.UNAUTHENTICATED, 'The authorization metadata is not one "Bearer TOKEN"');
  }

  /** The provider has a new version. */
  changed(): void {
    if (this.#isEnded || this.#wanted.length === 0) return;
    if (this.#isBusy) {
      this.#isStale = true;
      return;
    }
    this.#isBusy = true;
    this.#isStale = false;
    detach(this.#answer(), (thrown) => this.#fail(thrown));
  }

  #receive(request: DiscoveryRequest): void {
    if (this.#isEnded) return;
    if (request.typeUrl !== '' && request.typeUrl !== SECRET_TYPE_URL) {
      this.#end(status.INVALID_ARGUMENT, `Type ${quoteText(request.typeUrl)} is not "${SECRET_TYPE_URL}"`);
      return;
    }
    // About an answer that is no longer the last one: the client will speak again when it has read that.
    if (this.#nonce !== '' && request.responseNonce !== this.#nonce) return;
    if (request.errorDetail !== undefined) this.#noteRefusal(request.errorDetail.message);
    const names = [...new Set(request.resourceNames)];
    const unknown = names.find((name) => !this.#isKnown(name));
    if (unknown !== undefined || names.length > MAX_NAMES) {
      this.#options.log.warn(
        'sds_unknown_name',
        { name: unknown },
        'A secret was asked for that is not given here',
      );
      this.#end(status.NOT_FOUND, `No secret is named ${quoteText(unknown ?? '')}`);
      return;
    }
    for (const name of this.#sent.keys()) if (!names.includes(name)) this.#sent.delete(name);
    const hasMore = names.some((name) => !this.#wanted.includes(name));
    this.#wanted = names;
    if (hasMore) this.changed();
  }

  #noteRefusal(message: string): void {
    // The same refusal again says nothing new.
    if (this.#refusedNonce === this.#nonce) return;
    this.#refusedNonce = this.#nonce;
    this.#options.log.warn(
      'sds_nack',
      { names: this.#wanted, error: shortReason(message) },
      'The proxy refused a secret and keeps the one before',
    );
  }

  #isKnown(name: string): boolean {
    return name === this.#options.certificateName || name === this.#options.bundleName;
  }

  async #answer(): Promise<void> {
    const secret = await this.#options.provider.get(this.#token ?? '');
    if (this.#isEnded) return;
    const fresh = this.#wanted.filter((name) => this.#sent.get(name) !== this.#versionOf(name, secret));
    if (fresh.length === 0) {
      this.#settle();
      return;
    }
    const versions = fresh.map((name) => this.#versionOf(name, secret));
    for (const [i, name] of fresh.entries()) this.#sent.set(name, versions[i]!);
    this.#answers++;
    this.#nonce = `${this.#noncePrefix}.${this.#answers}`;
    const answer = create(DiscoveryResponseSchema, {
      versionInfo: versions.join('.'),
      resources: fresh.map((name) =>
        name === this.#options.certificateName
          ? packCertificate(name, secret.chainPem, secret.keyPem)
          : packBundle(name, secret.rootsPem),
      ),
      typeUrl: SECRET_TYPE_URL,
      nonce: this.#nonce,
    });
    // Called once the bytes have left for the socket: a client that does not read is not written to again.
    this.#call.write(answer, () => this.#settle());
  }

  #settle(): void {
    this.#isBusy = false;
    if (this.#isStale) this.changed();
  }

  /** The key is left out: it fits the leaf, and so is another one only if the leaf is. */
  #versionOf(name: string, secret: WorkloadSecret): string {
    const text = name === this.#options.certificateName ? secret.chainPem : secret.rootsPem;
    return createHash('sha256').update(text).digest('base64url').slice(0, 16);
  }

  #fail(thrown: unknown): void {
    const reason = shortReason(whyOf(thrown));
    if (!this.#isEnded) {
      const { log } = this.#options;
      log.warn('sds_no_secret', { names: this.#wanted, error: reason }, 'There is no secret to give');
    }
    this.#end(status.UNAVAILABLE, reason);
  }

  #end(code: status, details: string): void {
    if (this.#isEnded) return;
    this.#forget();
    // The way of grpc-js to end a stream with a status.
    this.#call.emit('error', { code, details: shortReason(details) });
  }

  /** The client has nothing more to say, and so nothing more to hear. */
  #finish(): void {
    if (!this.#isEnded) this.#call.end();
    this.#forget();
  }

  #forget(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#open.delete(this);
  }
}

/** '' for none, null for something that is not a bearer token. */
function readToken(call: SdsCall): string | null {
  const values = call.metadata.get('authorization');
  const [value] = values;
  if (value === undefined) return '';
  if (values.length > 1 || typeof value !== 'string' || value.length > MAX_TOKEN_LENGTH) return null;
  return BEARER.exec(value)?.[1] ?? null;
}
