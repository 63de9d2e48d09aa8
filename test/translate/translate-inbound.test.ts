/** The chains of a translation: which there are by mode and protocol, and how they terminate TLS. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MtlsMode, PortProtocol } from '../../src/mesh/plan.ts';
import type { EnvoyMessage } from '../../src/translate/envoy-message.ts';
import { INLINE, namesOf, port, translatePort, type SnapshotParts } from './plan-fixture.ts';

describe('the chains of a port', () => {
  const http = 'istio-http/1.0,istio-http/1.1,istio-h2';
  const all = `istio,istio-peer-exchange,${http}`;
  const plain = 'http/1.1,h2c';
  const mx = 'istio-peer-exchange,istio';
  for (const [mode, protocol, wanted] of [
    ['STRICT', 'http', ['tls  -> HTTP+TLS']],
    ['STRICT', 'auto', [`tls ${http} -> HTTP+TLS`, 'tls  -> TCP+TLS']],
    ['STRICT', 'tcp', ['tls  -> TCP+TLS']],
    ['PERMISSIVE', 'http', [`tls ${all} -> HTTP+TLS`, 'raw_buffer  -> HTTP']],
    [
      'PERMISSIVE',
      'auto',
      [
        `tls ${http} -> HTTP+TLS`,
        `raw_buffer ${plain} -> HTTP`,
        `tls ${mx} -> TCP+TLS`,
        'raw_buffer  -> TCP',
        'tls  -> TCP',
      ],
    ],
    ['PERMISSIVE', 'tcp', [`tls ${all} -> TCP+TLS`, 'tls  -> TCP', 'raw_buffer  -> TCP']],
    ['DISABLE', 'http', ['raw_buffer  -> HTTP']],
    ['DISABLE', 'auto', [`raw_buffer ${plain} -> HTTP`, 'raw_buffer  -> TCP']],
    ['DISABLE', 'tcp', ['raw_buffer  -> TCP']],
  ] as const satisfies readonly (readonly [MtlsMode, PortProtocol, readonly string[]])[]) {
    it(`under ${mode} on ${protocol}`, () => {
      const { filterChains } = translatePort({ ports: [port(protocol, mode)] });
      const got = filterChains.map(({ filterChainMatch, filters, transportSocket }) => {
        const {
          applicationProtocols = [],
          destinationPort,
          transportProtocol,
        } = filterChainMatch as {
          applicationProtocols?: readonly string[];
          destinationPort: number;
          transportProtocol: string;
        };
        assert.equal(destinationPort, 8080);
        const last = namesOf(filters as EnvoyMessage[]).at(-1);
        const kind = last === 'network.tcp_proxy' ? 'TCP' : 'HTTP';
        return `${transportProtocol} ${applicationProtocols.join(',')} -> ${kind}${transportSocket === undefined ? '' : '+TLS'}`;
      });
      assert.deepEqual(got, wanted);
    });
  }

  it('are looked for by the TLS inspector before the HTTP inspector, and by none where nothing is to be told', () => {
    assert.deepEqual(inspectors('PERMISSIVE', 'auto'), ['listener.tls_inspector', 'listener.http_inspector']);
    assert.deepEqual(inspectors('PERMISSIVE', 'http'), ['listener.tls_inspector']);
    assert.deepEqual(inspectors('DISABLE', 'auto'), ['listener.http_inspector']);
    assert.deepEqual(inspectors('DISABLE', 'http'), []);
  });

  it('of ports that nothing names are under 0, without a destination port', () => {
    const { filterChains } = translatePort({ passthrough: 'STRICT' }, '0');
    assert.deepEqual(
      filterChains.map(({ filterChainMatch, name }) => [filterChainMatch, name]),
      [
        [
          {
            transportProtocol: 'tls',
            applicationProtocols: ['istio-http/1.0', 'istio-http/1.1', 'istio-h2'],
          },
          'virtualInbound-catchall-http',
        ],
        [{ transportProtocol: 'tls' }, 'virtualInbound'],
      ],
    );
  });
});

describe('the TLS of a chain', () => {
  it('asks for a SPIFFE ID of the mesh, certificates by SDS under Istio’s names', () => {
    const [context] = contexts({ trustDomains: ['new', 'old'] });
    assert.equal(context!.requireClientCertificate, true);
    const { combinedValidationContext: combined, tlsCertificateSdsSecretConfigs: own } = context!
      .commonTlsContext as {
      combinedValidationContext: {
        defaultValidationContext: object;
        validationContextSdsSecretConfig: { name: string };
      };
      tlsCertificateSdsSecretConfigs: { name: string }[];
    };
    assert.deepEqual(combined.defaultValidationContext, { matchTypedSubjectAltNames: sans('new', 'old') });
    assert.equal(combined.validationContextSdsSecretConfig.name, 'ROOTCA');
    assert.deepEqual(
      own.map(({ name }) => name),
      ['default'],
    );
  });

  it('has certificates and key inline where they are given, and nowhere else', () => {
    const [context] = contexts({}, true);
    const { tlsCertificates, validationContext } = context!.commonTlsContext;
    assert.deepEqual(tlsCertificates, [
      { certificateChain: { inlineString: 'CHAIN' }, privateKey: { inlineString: 'KEY' } },
    ]);
    assert.deepEqual(validationContext, {
      trustedCa: { inlineString: 'ROOT' },
      matchTypedSubjectAltNames: sans('cluster.local'),
    });
    assert.doesNotMatch(JSON.stringify(translatePort({})), /KEY|privateKey/);
  });

  it('answers ALPN by what the chain carries', () => {
    const http = ['h2', 'http/1.1'];
    assert.deepEqual(alpnOf('http'), [http]);
    assert.deepEqual(alpnOf('auto'), [http, ['istio-peer-exchange', ...http]]);
  });
});

interface Context {
  readonly requireClientCertificate: boolean;
  readonly commonTlsContext: Readonly<Record<string, unknown>>;
}
function contexts(parts: SnapshotParts, inline = false): Context[] {
  const { filterChains } = translatePort(parts, '8080', inline ? INLINE : null);
  return filterChains.flatMap(({ transportSocket }) =>
    transportSocket === undefined ? [] : [(transportSocket as { typedConfig: Context }).typedConfig],
  );
}
function sans(...domains: readonly string[]): object[] {
  return domains.map((domain) => ({ sanType: 'URI', matcher: { prefix: `spiffe://${domain}/` } }));
}

function inspectors(mode: MtlsMode, protocol: PortProtocol): string[] {
  return namesOf(translatePort({ ports: [port(protocol, mode)] }).listenerFilters);
}

function alpnOf(protocol: PortProtocol): unknown[] {
  return contexts({ ports: [port(protocol)] }).map(
    ({ commonTlsContext }) => commonTlsContext['alpnProtocols'],
  );
}
