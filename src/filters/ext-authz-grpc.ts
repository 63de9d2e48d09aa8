/**
 * The check of `envoyExtAuthzGrpc`: `envoy.service.auth.v3.Authorization/Check`, and what its answer means. A status
 * other than OK denies, with `denied_response` where there is one; `error_response` and every failure of the call
 * itself are errors.
 */
import { fromBinary } from '@bufbuild/protobuf';
import type { ExtAuthzProvider } from '../core/authorization-plan.ts';
import { messageOf } from '../core/errors.ts';
import type { ConnectionFacts, RequestContext } from '../http/filter.ts';
import { HeaderValueOption_HeaderAppendAction as Append } from '../wire/gen/envoy/config/core/v3/base_pb.ts';
import type { HeaderValueOption } from '../wire/gen/envoy/config/core/v3/base_pb.ts';
import { CheckResponseSchema } from '../wire/gen/envoy/service/auth/v3/external_auth_pb.ts';
import type {
  CheckResponse,
  DeniedHttpResponse,
} from '../wire/gen/envoy/service/auth/v3/external_auth_pb.ts';
import type { AuthzUpstream } from './authz-upstream.ts';
import { errorAnswer, NOTHING_CHANGES } from './ext-authz-answer.ts';
import type { CancelCheck, CheckAnswer, CheckedBody, DenyAnswer, HeaderChange } from './ext-authz-answer.ts';
import { connectionCheck, requestCheck } from './ext-authz-check-request.ts';

const CHECK_PATH = '/envoy.service.auth.v3.Authorization/Check';

/** Where the provider says no more than no. */
const DEFAULT_DENY_STATUS = 403;

const NO_BODY = Buffer.alloc(0);

export class GrpcChecks {
  readonly #provider: ExtAuthzProvider;
  readonly #ownSpiffeId: () => string;

  constructor(provider: ExtAuthzProvider, ownSpiffeId: () => string) {
    this.#provider = provider;
    this.#ownSpiffeId = ownSpiffeId;
  }

  startRequest(
    upstream: AuthzUpstream,
    request: RequestContext,
    body: CheckedBody | null,
    done: (answer: CheckAnswer) => void,
  ): CancelCheck {
    const packAsBytes = this.#provider.body?.packAsBytes === true;
    return this.#start(upstream, requestCheck(request, body, packAsBytes, this.#ownSpiffeId()), done);
  }

  startConnection(
    upstream: AuthzUpstream,
    connection: ConnectionFacts,
    done: (answer: CheckAnswer) => void,
  ): CancelCheck {
    return this.#start(upstream, connectionCheck(connection, this.#ownSpiffeId()), done);
  }

  #start(upstream: AuthzUpstream, message: Uint8Array, done: (answer: CheckAnswer) => void): CancelCheck {
    const sessions = upstream.pickSessions();
    if (sessions === null) {
      done(errorAnswer('the service of the provider has no endpoint'));
      return nothingToCancel;
    }
    const { endpoint } = sessions;
    const headers = {
      ':method': 'POST',
      ':scheme': endpoint.scheme,
      ':path': CHECK_PATH,
      ':authority': this.#provider.host,
      te: 'trailers',
      'content-type': 'application/grpc',
      'grpc-timeout': grpcTimeout(this.#provider.timeoutMs),
    };
    const call = sessions.call(headers, message, {
      onMessage: (bytes) => done(answerOfBytes(bytes)),
      onFailed: (why) => done(errorAnswer(`${endpoint.name}: ${why}`)),
    });
    return () => call.cancel();
  }
}

function nothingToCancel(): void {
  // It was answered at once.
}

/** At most eight digits, as gRPC over HTTP/2 has it. */
function grpcTimeout(ms: number): string {
  return ms < 100_000_000 ? `${Math.ceil(ms)}m` : `${Math.min(Math.ceil(ms / 1_000), 99_999_999)}S`;
}

function answerOfBytes(bytes: Buffer): CheckAnswer {
  let response: CheckResponse;
  try {
    response = fromBinary(CheckResponseSchema, bytes, { readUnknownFields: false });
  } catch (thrown) {
    return errorAnswer(`the answer is no CheckResponse: ${messageOf(thrown)}`);
  }
  return answerOf(response);
}

function answerOf({ httpResponse, status }: CheckResponse): CheckAnswer {
  if ((status?.code ?? 0) !== 0) {
    if (httpResponse.case === 'errorResponse')
      return {
        kind: 'error',
        why: `it answered an error with status code ${status!.code}`,
        response: denyOf(httpResponse.value, 0),
      };
    if (httpResponse.case === 'deniedResponse') return denyOf(httpResponse.value, DEFAULT_DENY_STATUS);
    return { kind: 'deny', status: DEFAULT_DENY_STATUS, headers: [], body: NO_BODY };
  }
  if (httpResponse.case !== 'okResponse') return NOTHING_CHANGES;
  const ok = httpResponse.value;
  return {
    kind: 'allow',
    requestHeaders: changesOf(ok.headers, requestAction),
    headersToRemove: ok.headersToRemove,
    responseHeaders: changesOf(ok.responseHeadersToAdd, answerAction),
    queryToSet: ok.queryParametersToSet,
    queryToRemove: ok.queryParametersToRemove,
  };
}

function denyOf(denied: DeniedHttpResponse, unstated: number): DenyAnswer {
  const code = denied.status?.code ?? 0;
  return {
    kind: 'deny',
    status: code === 0 ? unstated : code,
    headers: changesOf(denied.headers, denialAction),
    body: Buffer.from(denied.body, 'utf8'),
  };
}

function changesOf(
  options: readonly HeaderValueOption[],
  actionOf: (option: HeaderValueOption) => HeaderChange['action'],
): HeaderChange[] {
  const changes: HeaderChange[] = [];
  for (const option of options) {
    const { header } = option;
    if (header === undefined) continue;
    const { key, rawValue, value } = header;
    const bytes = rawValue.length > 0 ? Buffer.from(rawValue).toString('latin1') : latin1Of(value);
    changes.push({ name: key, value: bytes, action: actionOf(option) });
  }
  return changes;
}

/** protobuf's strings are Unicode, a field's value is bytes: those of UTF-8. */
function latin1Of(text: string): string {
  for (let i = 0; i < text.length; i++)
    if (text.charCodeAt(i) > 127) return Buffer.from(text, 'utf8').toString('latin1');
  return text;
}

/** As Envoy 1.40: for requests only the deprecated `append` is looked at. */
function requestAction({ append }: HeaderValueOption): HeaderChange['action'] {
  return append === true ? 'append-to' : 'set';
}

/** As Envoy 1.40: `append` goes first where it is there. */
function answerAction({ append, appendAction }: HeaderValueOption): HeaderChange['action'] {
  if (append !== undefined) return append ? 'add' : 'set';
  if (appendAction === Append.APPEND_IF_EXISTS_OR_ADD) return 'add';
  if (appendAction === Append.ADD_IF_ABSENT) return 'add-if-absent';
  return appendAction === Append.OVERWRITE_IF_EXISTS ? 'set-if-exists' : 'set';
}

/** As Envoy 1.40: a denial has each field as often as it is given. */
function denialAction(): HeaderChange['action'] {
  return 'add';
}
