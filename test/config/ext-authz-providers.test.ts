import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadDocumentText } from '../../src/config/documents.ts';
import type { Problem } from '../../src/config/problem.ts';
import type { ExtAuthzExtension } from '../../src/config/resources.ts';
import { EXT_AUTHZ_DEFAULTS } from '../support/ext-authz-defaults.ts';
import { foundProblems } from './found-problems.ts';

function load(text: string): { read: readonly ExtAuthzExtension[]; problems: readonly Problem[] } {
  const { resources, problems } = loadDocumentText(text, 'a.yaml');
  return { read: resources.meshConfig.extAuthzProviders, problems };
}

/** Each provider on a line of its own, the first is line 3. */
const providers = (...given: readonly string[]): string =>
  `meshConfig:\n  extensionProviders:\n${given.map((one) => `  - {${one}}\n`).join('')}`;
const http = (fields: string): string =>
  providers(`name: a, envoyExtAuthzHttp: {service: a.foo.svc.cluster.local, port: 80, ${fields}}`);
const grpc = (fields: string): string =>
  providers(`name: a, envoyExtAuthzGrpc: {service: a.foo.svc.cluster.local, port: 80, ${fields}}`);

describe('MeshConfig.extensionProviders', () => {
  it('is read with every field', () => {
    const { read, problems } = load(`meshConfig:
  extensionProviders:
  - name: sample-http
    envoyExtAuthzHttp:
      service: foo/ext-authz.foo.svc.cluster.local
      port: "8000"
      timeout: 2s
      pathPrefix: /check
      failOpen: true
      statusOnError: "503"
      includeRequestHeadersInCheck: [X-Ext-Authz, "x-a-*", "*-b"]
      includeAdditionalHeadersInCheck: {X-Fixed: "a b", x-two: ""}
      includeRequestBodyInCheck: {maxRequestBytes: "1000", allowPartialMessage: true, packAsBytes: true}
      headersToUpstreamOnAllow: [authorization, X-User]
      headersToDownstreamOnDeny: [content-type, "set-*"]
      headersToDownstreamOnAllow: [X-Seen]
  - name: opa
    envoyExtAuthzGrpc: {service: opa.foo.svc.cluster.local, port: 9191}
`);
    assert.deepEqual(problems, []);
    assert.deepEqual(read, [
      {
        kind: 'http',
        name: 'sample-http',
        service: 'foo/ext-authz.foo.svc.cluster.local',
        port: 8000,
        timeoutMs: 2_000,
        failOpen: true,
        statusOnError: 503,
        body: { maxRequestBytes: 1_000, allowPartialMessage: true, packAsBytes: true },
        pathPrefix: '/check',
        includeRequestHeadersInCheck: ['x-ext-authz', 'x-a-*', '*-b'],
        includeAdditionalHeadersInCheck: ['x-fixed', 'a b', 'x-two', ''],
        headersToUpstreamOnAllow: ['authorization', 'x-user'],
        headersToDownstreamOnDeny: ['content-type', 'set-*'],
        headersToDownstreamOnAllow: ['x-seen'],
      },
      {
        ...EXT_AUTHZ_DEFAULTS,
        name: 'opa',
        service: 'opa.foo.svc.cluster.local',
        port: 9191,
      },
    ]);
  });

  it('reads the old name of a header list only where the new one is empty', () => {
    const [old, both] = [
      load(http('includeHeadersInCheck: [a]')),
      load(http('includeHeadersInCheck: [a], includeRequestHeadersInCheck: [b]')),
    ];
    assert.deepEqual(old.read[0]?.includeRequestHeadersInCheck, ['a']);
    assert.deepEqual(both.read[0]?.includeRequestHeadersInCheck, ['b']);
  });

  it('says once that providers of other kinds have no effect', () => {
    const { read, problems } = load(
      providers(
        'name: z, zipkin: {service: a, port: 1}',
        'name: Log.1, envoyFileAccessLog: {path: /dev/stdout}',
      ),
    );
    assert.deepEqual(read, []);
    assert.deepEqual(foundProblems(problems), ['warning ignored_field 2:3 meshConfig.extensionProviders']);
    assert.match(problems[0]?.message ?? '', /"z", "Log.1" have no effect/);
  });

  for (const status of ['200', '302', '401', '403', '503', '511']) {
    it(`takes statusOnError ${status}`, () => {
      const { read, problems } = load(grpc(`statusOnError: "${status}"`));
      assert.deepEqual([problems, read[0]?.statusOnError], [[], Number(status)]);
    });
  }

  const at = 'meshConfig.extensionProviders[0]';
  const ofHttp = `${at}.envoyExtAuthzHttp`;
  const bad: [string, string, string[]][] = [
    [
      'no name',
      providers('envoyExtAuthzGrpc: {service: a.b, port: 1}'),
      [`error missing_field 3:5 ${at}.name`],
    ],
    ...['A', '-a', 'a-', 'a.b', 'a_b', 'x'.repeat(64)].map((name): [string, string, string[]] => [
      `the name ${name.slice(0, 9)}`,
      providers(`name: "${name}", envoyExtAuthzGrpc: {service: a.b, port: 1}`),
      [`error bad_value 3:12 ${at}.name`],
    ]),
    [
      'a name twice',
      providers('name: a, zipkin: {}', 'name: a, envoyExtAuthzGrpc: {service: a.b, port: 1}'),
      [
        'warning ignored_field 2:3 meshConfig.extensionProviders',
        'error duplicate_resource 4:12 meshConfig.extensionProviders[1].name',
      ],
    ],
    ['no kind', providers('name: a'), [`error conflict 3:5 ${at}`]],
    [
      'two kinds',
      providers('name: a, zipkin: {}, envoyExtAuthzGrpc: {service: a.b, port: 1}'),
      [`error conflict 3:5 ${at}`],
    ],
    [
      'an unknown kind',
      providers('name: a, envoyExtAuthzGrcp: {}'),
      [
        `warning ignored_field 2:3 meshConfig.extensionProviders`,
        `error unknown_field 3:15 ${at}.envoyExtAuthzGrcp`,
      ],
    ],
    [
      'a field of the other kind',
      grpc('pathPrefix: /a'),
      [`error unknown_field 3:79 ${at}.envoyExtAuthzGrpc.pathPrefix`],
    ],
    [
      'no service',
      providers('name: a, envoyExtAuthzGrpc: {port: 1}'),
      [`error missing_field 3:15 ${at}.envoyExtAuthzGrpc.service`],
    ],
    ...['a/b/c', '/a', 'a/', 'A/b', 'a b', '*.a', 'http://a'].map((service): [string, string, string[]] => [
      `the service ${service}`,
      providers(`name: a, envoyExtAuthzGrpc: {service: "${service}", port: 1}`),
      [`error bad_value 3:44 ${at}.envoyExtAuthzGrpc.service`],
    ]),
    [
      'no port',
      providers('name: a, envoyExtAuthzGrpc: {service: a.b}'),
      [`error missing_field 3:15 ${at}.envoyExtAuthzGrpc.port`],
    ],
    ...['0', '65536', '"0"', '"65536"', '"080"', '"x"'].map((port): [string, string, string[]] => [
      `the port ${port}`,
      providers(`name: a, envoyExtAuthzGrpc: {port: ${port}, service: a.b}`),
      [`error out_of_range 3:41 ${at}.envoyExtAuthzGrpc.port`],
    ]),
    ...['0s', '10', '600'].map((text): [string, string, string[]] => [
      `the timeout ${text}`,
      http(`timeout: "${text}"`),
      [`error bad_value 3:88 ${ofHttp}.timeout`],
    ]),
    ...['0', '99', '100', '200.5', '418', '600', 'Forbidden'].map((text): [string, string, string[]] => [
      `statusOnError ${text}`,
      http(`statusOnError: "${text}"`),
      [`error bad_value 3:94 ${ofHttp}.statusOnError`],
    ]),
    [
      'statusOnError as a number',
      http('statusOnError: 403'),
      [`error wrong_type 3:94 ${ofHttp}.statusOnError`],
    ],
    ['failOpen as text', http('failOpen: "true"'), [`error wrong_type 3:89 ${ofHttp}.failOpen`]],
    [
      'clearRouteCache',
      http('clearRouteCache: true'),
      [`warning ignored_field 3:79 ${ofHttp}.clearRouteCache`],
    ],
    ...['a', '/a b', '/a?b', '/a#b', '/ä'].map((prefix): [string, string, string[]] => [
      `the prefix ${prefix}`,
      http(`pathPrefix: "${prefix}"`),
      [`error bad_value 3:91 ${ofHttp}.pathPrefix`],
    ]),
    [
      'a body without size',
      http('includeRequestBodyInCheck: {}'),
      [`error missing_field 3:79 ${ofHttp}.includeRequestBodyInCheck.maxRequestBytes`],
    ],
    [
      'a body of nothing',
      http('includeRequestBodyInCheck: {maxRequestBytes: 0}'),
      [`error out_of_range 3:124 ${ofHttp}.includeRequestBodyInCheck.maxRequestBytes`],
    ],
    ...[
      'includeRequestHeadersInCheck',
      'includeHeadersInCheck',
      'headersToUpstreamOnAllow',
      'headersToDownstreamOnDeny',
      'headersToDownstreamOnAllow',
    ].flatMap((name) =>
      ['*', '', '**', 'a*b', '*a*', 'a b', ':path'].map((pattern): [string, string, string[]] => [
        `"${pattern}" in ${name}`,
        http(`${name}: ["${pattern}"]`),
        [`error bad_value 3:${name.length + 82} ${ofHttp}.${name}[0]`],
      ]),
    ),
    ...['Host', 'content-length', 'transfer-encoding', 'x-forwarded-client-cert'].map(
      (name): [string, string, string[]] => [
        `${name} from the provider`,
        http(`headersToUpstreamOnAllow: [${name}]`),
        [`error conflict 3:106 ${ofHttp}.headersToUpstreamOnAllow[0]`],
      ],
    ),
    [
      'a fixed header that frames',
      http('includeAdditionalHeadersInCheck: {content-length: "1"}'),
      [`error conflict 3:113 ${ofHttp}.includeAdditionalHeadersInCheck.content-length`],
    ],
    [
      'a fixed header with a line feed',
      http('includeAdditionalHeadersInCheck: {a: "b\\nc"}'),
      [`error bad_value 3:116 ${ofHttp}.includeAdditionalHeadersInCheck.a`],
    ],
  ];
  for (const [name, text, expected] of bad) {
    it(`says of ${name} where it stands`, () => {
      assert.deepEqual(foundProblems(load(text).problems), expected);
    });
  }
});
