/**
 * A connection and a request as policies see them: what the handshake proved, what was verified, and the head as it
 * stands after the filters before. Made once a connection, and once a request for all that judge it.
 */
import type { VerifiedToken } from '../core/jwt-plan.ts';
import type { ConnectionFacts, RequestContext } from '../http/filter.ts';
import { PolicyConnection } from '../policy/policy-connection.ts';
import type { PolicyFraming, PolicyRequest } from '../policy/policy-request.ts';

const NO_IDENTITIES: readonly string[] = [];

const connections = new WeakMap<ConnectionFacts, PolicyConnection>();

/** The same value for the life of the connection. */
export function policyConnectionOf(facts: ConnectionFacts): PolicyConnection {
  const known = connections.get(facts);
  if (known !== undefined) return known;
  const connection = new PolicyConnection({
    identities: identitiesOf(facts),
    remoteIp: facts.remote.ip,
    destinationIp: facts.destination.ip,
    destinationPort: facts.destination.port,
    sni: facts.sni.toLowerCase(),
  });
  connections.set(facts, connection);
  return connection;
}

/** URI SAN, DNS SANs, subject, as Envoy's `authenticated` matcher tries them; none without mTLS. */
function identitiesOf({ peer }: ConnectionFacts): readonly string[] {
  if (peer === null) return NO_IDENTITIES;
  const identities = [peer.spiffeId, ...peer.dnsNames];
  // Istio's certificates have none; an empty name must not match a policy's empty value.
  if (peer.subject !== '') identities.push(peer.subject);
  return identities;
}

/** The request as it is now: make it where it is judged, for a filter before may have changed the head. */
export function policyRequestOf(request: RequestContext): PolicyRequest {
  const { head } = request;
  return new HeadView(
    head.method,
    head.path,
    head.authority,
    head.fields,
    head,
    request.connection.tls ? 'https' : 'http',
    request.token,
  );
}

/** A class, so that all requests have one hidden shape in the rules' hot loops. */
class HeadView implements PolicyRequest {
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  readonly fields: readonly string[];
  readonly framing: PolicyFraming;
  readonly scheme: 'http' | 'https';
  readonly token: VerifiedToken | null;

  constructor(
    method: string,
    path: string,
    authority: string,
    fields: readonly string[],
    framing: PolicyFraming,
    scheme: 'http' | 'https',
    token: VerifiedToken | null,
  ) {
    this.method = method;
    this.path = path;
    this.authority = authority;
    this.fields = fields;
    this.framing = framing;
    this.scheme = scheme;
    this.token = token;
  }
}
