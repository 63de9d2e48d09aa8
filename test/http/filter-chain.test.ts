/** The runner of filters: order, failure, promises, and what a user's filter may leave behind. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RequestHead, ResponseHead } from '../../src/http/exchange.ts';
import { FilterChain } from '../../src/http/filter-chain.ts';
import { CONTINUE } from '../../src/http/filter.ts';
import type { ConnectionFacts, Deny, Filter, RequestContext, Verdict } from '../../src/http/filter.ts';

const DENY: Deny = {
  kind: 'deny',
  code: 'filter_denied',
  status: 403,
  body: 'no',
  headers: ['x-why', 'because'],
  details: 'denied',
  why: 'because',
};

function context(head: Partial<RequestHead> = {}): RequestContext {
  return {
    connection: {} as ConnectionFacts,
    head: {
      method: 'GET',
      rawTarget: '/',
      path: '/',
      authority: 'h',
      version: '1.1',
      fields: [],
      bodyLength: 0,
      statesEmptyBody: false,
      expectContinue: false,
      acceptsTrailers: false,
      ...head,
    },
    originalPath: '/',
    requestId: '',
    token: null,
    readBody: () => Promise.reject(new Error('no body')),
  };
}

function chainOf(
  builtIn: readonly Filter[],
  user: readonly Filter[] = [],
): { chain: FilterChain; failed: string[] } {
  const failed: string[] = [];
  return { chain: new FilterChain(builtIn, user, (name) => failed.push(name)), failed };
}

function recording(name: string, log: string[], answer: () => Verdict | Promise<Verdict>): Filter {
  return {
    name,
    onRequest: () => {
      log.push(name);
      return answer();
    },
    onResponse: () => {
      log.push(`${name}'`);
    },
  };
}

describe('the order of filters', () => {
  it('requests run in order, answers in reverse, without a promise where none is given', () => {
    const log: string[] = [];
    const { chain } = chainOf(
      [recording('a', log, () => CONTINUE), recording('b', log, () => CONTINUE)],
      [recording('c', log, () => CONTINUE)],
    );
    assert.equal(chain.onRequest(context()), CONTINUE);
    assert.equal(chain.onResponse(context(), { status: 200, reason: '', fields: [], bodyLength: 0 }), true);
    assert.deepEqual(log, ['a', 'b', 'c', "c'", "b'", "a'"]);
  });

  it('a denial ends the chain, at once or behind a promise', async () => {
    for (const answer of [(): Verdict => DENY, (): Promise<Verdict> => Promise.resolve(DENY)]) {
      const log: string[] = [];
      const { chain } = chainOf([recording('a', log, answer), recording('b', log, () => CONTINUE)]);
      assert.equal(await chain.onRequest(context()), DENY);
      assert.deepEqual(log, ['a']);
    }
  });

  it('filters after a promise run after it, in order', async () => {
    const log: string[] = [];
    const { chain } = chainOf(
      [recording('a', log, () => CONTINUE), recording('b', log, () => Promise.resolve(CONTINUE))],
      [recording('c', log, () => CONTINUE), recording('d', log, () => Promise.resolve(DENY))],
    );
    const verdict = chain.onRequest(context());
    assert.deepEqual(log, ['a', 'b']);
    assert.ok(verdict instanceof Promise);
    assert.equal(await verdict, DENY);
    assert.deepEqual(log, ['a', 'b', 'c', 'd']);
  });
});

describe('a filter that fails denies with 500 filter_failed', () => {
  const bad: readonly (readonly [string, () => unknown])[] = [
    [
      'a throw',
      () => {
        throw new Error('x');
      },
    ],
    [
      'a throw of nothing',
      () => {
        throw undefined;
      },
    ],
    ['a rejection', () => Promise.reject(new Error('x'))],
    ['undefined', () => undefined],
    ['null', () => null],
    ['a number', () => 5],
    ['a text', () => 'continue'],
    ['another kind', () => ({ kind: 'allow' })],
    ['no kind', () => ({})],
    ['a promise of nothing', () => Promise.resolve(undefined)],
    ['a promise of another kind', () => Promise.resolve({ kind: 'allow' })],
    ['a denial with status 100', () => ({ ...DENY, status: 100 })],
    ['a denial with status 200.5', () => ({ ...DENY, status: 200.5 })],
    ['a denial with status 600', () => ({ ...DENY, status: 600 })],
    ['a denial without headers', () => ({ ...DENY, headers: undefined })],
    ['a denial with CR LF in a header', () => ({ ...DENY, headers: ['a', 'b\r\nc: d'] })],
    ['a denial with a framing header', () => ({ ...DENY, headers: ['content-length', '5'] })],
    ['a denial with an odd header list', () => ({ ...DENY, headers: ['a'] })],
    ['a denial with a body that is no text', () => ({ ...DENY, body: 5 })],
    ['a denial with an unknown code', () => ({ ...DENY, code: 'toString' })],
  ];
  for (const [name, answer] of bad) {
    it(name, async () => {
      const { chain, failed } = chainOf(
        [],
        [{ name: 'f', onRequest: answer as never, onConnection: answer as never }],
      );
      const verdict = await chain.onRequest(context());
      assert.equal(verdict.kind, 'deny');
      assert.deepEqual([verdict.code, verdict.status], ['filter_failed', 500]);
      const tcp = await chain.onConnection({} as ConnectionFacts);
      assert.equal((tcp as Deny).code, 'filter_failed');
      assert.deepEqual(failed, ['f', 'f']);
    });
  }
});

describe('what a user filter leaves must be writable', () => {
  const bad: readonly (readonly [string, (head: RequestHead) => void])[] = [
    ['CR LF in a value', (head) => head.fields.push('a', 'b\r\nc: d')],
    ['U+010A, whose low byte is LF', (head) => head.fields.push('a', 'b\u010Ac')],
    ['U+0D0D in a name', (head) => head.fields.push('a\u0D0D', 'b')],
    ['NUL in a value', (head) => head.fields.push('a', '\0')],
    ['an upper-case name', (head) => head.fields.push('A', 'b')],
    ['an empty name', (head) => head.fields.push('', 'b')],
    ['a name with a space', (head) => head.fields.push('a b', 'c')],
    ['a name with a colon', (head) => head.fields.push('a:', 'c')],
    ['a name without a value', (head) => head.fields.push('a')],
    ['a value that is no text', (head) => head.fields.push('a', 5 as never)],
    ...[
      'host',
      'content-length',
      'transfer-encoding',
      'connection',
      'upgrade',
      'keep-alive',
      'te',
      'expect',
    ].map(
      (name) =>
        [
          `the codec's own ${name}`,
          (head: RequestHead): void => {
            head.fields.push(name, '5');
          },
        ] as const,
    ),
    [
      'a space in the path',
      (head) => {
        head.path = '/a HTTP/1.1';
      },
    ],
    [
      'CR LF in the path',
      (head) => {
        head.path = '/a\r\nb';
      },
    ],
    [
      'U+012F in the path',
      (head) => {
        head.path = '/\u012F';
      },
    ],
    [
      'an empty path',
      (head) => {
        head.path = '';
      },
    ],
    [
      'a path without a slash',
      (head) => {
        head.path = 'http://other/';
      },
    ],
    [
      'a fragment',
      (head) => {
        head.path = '/a#b';
      },
    ],
    [
      '"*" with GET',
      (head) => {
        head.path = '*';
      },
    ],
    [
      'CR LF in the authority',
      (head) => {
        head.authority = 'h\r\nx: y';
      },
    ],
    [
      'user-info in the authority',
      (head) => {
        head.authority = 'a@h';
      },
    ],
    [
      'an empty authority',
      (head) => {
        head.authority = '';
      },
    ],
    [
      'CR LF in the method',
      (head) => {
        (head as { method: string }).method = 'GET /\r\n';
      },
    ],
  ];
  for (const [name, change] of bad) {
    it(name, async () => {
      for (const asynchronous of [false, true]) {
        const { chain } = chainOf(
          [],
          [
            {
              name: 'f',
              onRequest: ({ head }) => {
                change(head);
                return asynchronous ? Promise.resolve(CONTINUE) : CONTINUE;
              },
            },
          ],
        );
        const verdict = await chain.onRequest(context());
        assert.equal((verdict as Deny).code, 'filter_failed');
      }
    });
  }

  it('what is writable passes', () => {
    const { chain } = chainOf(
      [],
      [
        {
          name: 'f',
          onRequest: ({ head }) => {
            head.path = '/b?c';
            head.authority = 'other:80';
            head.fields.push('x-a', 'caf\xe9 \t ok', 'empty', '');
            return CONTINUE;
          },
        },
      ],
    );
    assert.equal(chain.onRequest(context()), CONTINUE);
    assert.equal(chain.onRequest(context({ version: '1.0', authority: '' })), CONTINUE);
  });

  const badAnswers: readonly (readonly [string, (head: ResponseHead) => void])[] = [
    [
      'a throw',
      () => {
        throw new Error('x');
      },
    ],
    ['CR LF in a value', (head) => head.fields.push('a', '\r\n')],
    ['a framing field', (head) => head.fields.push('content-length', '5')],
    [
      'CR LF in the reason',
      (head) => {
        head.reason = 'OK\r\nx: y';
      },
    ],
    [
      'status 101',
      (head) => {
        head.status = 101;
      },
    ],
    [
      'status NaN',
      (head) => {
        head.status = Number.NaN;
      },
    ],
  ];
  for (const [name, change] of badAnswers) {
    it(`an answer with ${name} is not sent`, () => {
      const { chain, failed } = chainOf([], [{ name: 'f', onResponse: (_request, head) => change(head) }]);
      assert.equal(
        chain.onResponse(context(), { status: 200, reason: '', fields: [], bodyLength: 0 }),
        false,
      );
      assert.deepEqual(failed, ['f']);
    });
  }
});
