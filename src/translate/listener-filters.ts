/** What Envoy must look at before it can take a chain: TLS ClientHello, plaintext HTTP. */
import { type ChainMatch, PLAIN_HTTP } from './chain-matches.ts';
import { type EnvoyMessage, extension } from './envoy-message.ts';

/** TLS first: where it is TLS, nobody looks for HTTP. */
export function listenerFilters(matches: readonly ChainMatch[]): EnvoyMessage[] {
  const type = 'envoy.extensions.filters.listener';
  const filters: EnvoyMessage[] = [];
  if (matches.some(({ transport }) => transport === 'tls')) {
    filters.push(
      extension('envoy.filters.listener.tls_inspector', `${type}.tls_inspector.v3.TlsInspector`, {}),
    );
  }
  if (matches.some(({ alpn }) => alpn === PLAIN_HTTP)) {
    filters.push(
      extension('envoy.filters.listener.http_inspector', `${type}.http_inspector.v3.HttpInspector`, {}),
    );
  }
  return filters;
}
