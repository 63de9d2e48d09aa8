import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SLEEP, connectionOf, httpRules, isMatched, policyOf, requestOf, tokenOf } from './policy-plan.ts';
import type { RuleText } from './policy-plan.ts';

describe('string match', () => {
  const cases: readonly (readonly [wanted: string, path: string, matched: boolean])[] = [
    ['*', '/a', true],
    ['/info', '/info', true],
    ['/info', '/info/', false],
    ['/info', '/Info', false],
    ['/info', '/inf', false],
    ['/info*', '/info', true],
    ['/info*', '/information', true],
    ['/info*', '/inf', false],
    ['*.png', '/a.png', true],
    ['*.png', '/a.jpg', false],
    ['*.png', '/a.png/b', false],
    ['*png', 'png', true],
    ['*a*', '/xa', false],
    ['*a*', '/xa*', true],
    ['/a*b', '/a*b', true],
    ['/a*b', '/axb', false],
    ['**', '/a*', true],
    ['**', '/a', false],
  ];
  for (const [wanted, path, matched] of cases) {
    it(`${wanted} ${matched ? 'matches' : 'does not match'} ${path}`, () => {
      assert.equal(isMatched({ to: [{ paths: [wanted] }] }, connectionOf(), requestOf({ path })), matched);
    });
  }

  it('takes * for a text that is not empty', () => {
    const rule: RuleText = { when: [{ key: 'connection.sni', values: ['*'] }] };
    assert.equal(isMatched(rule, connectionOf({ sni: 'a.com' }), requestOf()), true);
    assert.equal(isMatched(rule, connectionOf({ sni: '' }), requestOf()), false);
  });

  it('leaves query and fragment out of paths', () => {
    const rule: RuleText = { to: [{ paths: ['/protected'] }] };
    for (const path of ['/protected?', '/protected?a', '/protected#', '/protected#a?b']) {
      assert.equal(isMatched(rule, connectionOf(), requestOf({ path })), true, path);
    }
    assert.equal(isMatched({ to: [{ paths: ['*a'] }] }, connectionOf(), requestOf({ path: '/x?a' })), false);
  });

  it('decides a field of many values as it decides each of them', () => {
    const paths = Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? `/item-${i}` : `/list-${i}/*`));
    const rule: RuleText = { to: [{ paths }] };
    assert.equal(isMatched(rule, connectionOf(), requestOf({ path: '/item-38' })), true);
    assert.equal(isMatched(rule, connectionOf(), requestOf({ path: '/list-39/x' })), true);
    assert.equal(isMatched(rule, connectionOf(), requestOf({ path: '/item-39' })), false);
  });
});

function isHit(
  values: readonly string[],
  fields: readonly string[],
  action: 'ALLOW' | 'DENY' | 'AUDIT' | 'CUSTOM' = 'ALLOW',
  name = 'x-role',
): boolean {
  const rule: RuleText = { when: [{ key: `request.headers[${name}]`, values }] };
  return isMatched(rule, connectionOf(), requestOf({ fields }), { action });
}

describe('header match', () => {
  it('takes * for a header that is there, even empty', () => {
    assert.equal(isHit(['*'], ['x-role', '']), true);
    assert.equal(isHit(['*'], ['x-roles', 'a']), false);
  });

  it('compares names without and values with regard to case', () => {
    assert.equal(isHit(['admin'], ['x-role', 'admin'], 'ALLOW', 'X-Role'), true);
    assert.equal(isHit(['admin'], ['x-role', 'Admin']), false);
    assert.equal(isHit(['ad*'], ['x-role', 'admin']), true);
    assert.equal(isHit(['*min'], ['x-role', 'admin']), true);
  });

  const twice = ['x-role', 'user', 'other', 'x', 'x-role', 'admin'];
  const copies: readonly (readonly [
    wanted: string,
    action: 'ALLOW' | 'DENY' | 'AUDIT' | 'CUSTOM',
    matched: boolean,
  ])[] = [
    ['user', 'ALLOW', true],
    ['admin', 'ALLOW', true],
    ['user,admin', 'ALLOW', false],
    ['*,admin', 'ALLOW', false],
    ['user', 'DENY', true],
    ['admin', 'DENY', true],
    ['user,admin', 'DENY', true],
    ['user,admin', 'CUSTOM', true],
    ['user,admin', 'AUDIT', false],
    ['admin,user', 'DENY', false],
  ];
  for (const [wanted, action, matched] of copies) {
    it(`${wanted} in ${action} ${matched ? 'matches' : 'does not match'} the copies user and admin`, () => {
      assert.equal(isHit([wanted], twice, action), matched);
    });
  }

  it('joins the copies of headers with one slot', () => {
    for (const name of ['user-agent', 'accept', 'authorization', 'via', 'x-forwarded-host']) {
      const fields = [name, 'a', name, '', name, 'b'];
      assert.equal(isHit(['a,b'], fields, 'ALLOW', name), true, name);
      assert.equal(isHit(['a'], fields, 'ALLOW', name), false, name);
      assert.equal(isHit(['a'], fields, 'DENY', name), true, name);
      assert.equal(isHit(['a,b'], fields, 'DENY', name), true, name);
    }
  });

  for (const [name, framing, value] of [
    ['content-length', { bodyLength: 5 }, '5'],
    ['content-length', { statesEmptyBody: true }, '0'],
    ['te', { acceptsTrailers: true }, 'trailers'],
    ['expect', { expectContinue: true }, '100-continue'],
  ] as const) {
    it(`sees ${name}: ${value}, which the codec takes out of the fields, and nothing without it`, () => {
      const none = { bodyLength: 0, statesEmptyBody: false, acceptsTrailers: false, expectContinue: false };
      const rules = httpRules(
        policyOf([{ when: [{ key: `request.headers[${name}]`, values: [value] }] }], { action: 'DENY' }),
      );
      const isDenied = (given: Partial<typeof none>): boolean =>
        rules.deny?.match(connectionOf(), requestOf({ framing: { ...none, ...given } })) !== null;
      assert.equal(isDenied(framing), true);
      assert.equal(isDenied({}), false);
      assert.equal(isDenied({ bodyLength: -1 }), false, 'chunked');
    });
  }

  it('keeps two cookie headers apart', () => {
    const fields = ['cookie', 'a=1', 'cookie', 'b=2'];
    assert.equal(isHit(['b=2'], fields, 'ALLOW', 'cookie'), true);
    assert.equal(isHit(['a=1; b=2'], fields, 'ALLOW', 'cookie'), false);
  });

  it('fails notValues where any copy matches, in DENY as in ALLOW', () => {
    const rule: RuleText = { when: [{ key: 'request.headers[x-role]', notValues: ['admin'] }] };
    for (const action of ['ALLOW', 'DENY'] as const) {
      assert.equal(isMatched(rule, connectionOf(), requestOf({ fields: twice }), { action }), false);
      assert.equal(isMatched(rule, connectionOf(), requestOf({ fields: ['x-role', 'a'] }), { action }), true);
      assert.equal(isMatched(rule, connectionOf(), requestOf(), { action }), true);
    }
  });

  it('does not let a joined value out of a DENY by notValues', () => {
    const rule: RuleText = { when: [{ key: 'request.headers[x-role]', notValues: ['user,admin'] }] };
    assert.equal(isMatched(rule, connectionOf(), requestOf({ fields: twice }), { action: 'DENY' }), true);
  });

  it('matches bytes above 0x7F as the bytes that they are', () => {
    const fields = ['x-role', Buffer.from('né', 'utf8').toString('latin1')];
    assert.equal(isHit(['né'], fields), true);
    assert.equal(isHit(['n*'], fields, 'DENY'), true);
    assert.equal(isHit(['*'], ['x-role', '\xff\x80'], 'DENY'), true);
  });

  const special: readonly (readonly [name: string, wanted: string, matched: boolean])[] = [
    ['host', 'httpbin.foo:8000', true],
    ['Host', 'HTTPBIN.foo:8000', false],
    [':authority', 'httpbin.foo:8000', true],
    [':path', '/a?b=c', true],
    [':path', '/a', false],
    [':method', 'GET', true],
    [':scheme', 'https', true],
    ['connection', '*', false],
    [':status', '*', false],
  ];
  for (const [name, wanted, matched] of special) {
    it(`request.headers[${name}] ${matched ? 'matches' : 'does not match'} ${wanted}`, () => {
      const request = requestOf({
        path: '/a?b=c',
        authority: 'httpbin.foo:8000',
        fields: ['connection', 'close', 'host', 'evil'],
      });
      const rule: RuleText = { when: [{ key: `request.headers[${name}]`, values: [wanted] }] };
      assert.equal(isMatched(rule, connectionOf(), request), matched);
    });
  }
});

describe('host match', () => {
  const cases: readonly (readonly [wanted: string, authority: string, allow: boolean, deny: boolean])[] = [
    ['secret.com', 'secret.com', true, true],
    ['secret.com', 'Secret.COM', true, true],
    ['SECRET.com', 'secret.com', true, true],
    ['secret.com', 'secret.com:80', false, true],
    ['secret.com', 'secret.com.', false, true],
    ['secret.com', 'secret.com.:80', false, true],
    ['secret.com', 'secret.com:', false, true],
    ['secret.com', 'secret.com.evil', false, false],
    ['secret.com', 'xsecret.com', false, false],
    ['secret.com:80', 'secret.com:80', true, true],
    ['secret.com:80', 'secret.com.:80', false, true],
    ['secret.com:80', 'secret.com:81', false, false],
    ['secret.com:80', 'secret.com', false, false],
    ['secret.com:*', 'secret.com:80', true, true],
    ['*.secret.com', 'a.secret.com', true, true],
    ['*.secret.com', 'a.secret.com:80', false, true],
    ['secret*', 'Secret.org:9', true, true],
    ['[::1]', '[::1]:80', false, true],
    ['[::1]', '[::1]', true, true],
    ['*', 'x', true, true],
  ];
  for (const [wanted, authority, allow, deny] of cases) {
    it(`${wanted} and ${authority}: ALLOW ${allow}, DENY ${deny}`, () => {
      const rule: RuleText = { to: [{ hosts: [wanted] }] };
      const request = requestOf({ authority });
      assert.equal(isMatched(rule, connectionOf(), request), allow);
      for (const action of ['DENY', 'CUSTOM', 'AUDIT'] as const) {
        assert.equal(isMatched(rule, connectionOf(), request, { action }), deny, action);
      }
    });
  }

  it('leaves notHosts as Envoy has them, so that a DENY catches no less', () => {
    const rule: RuleText = { to: [{ notHosts: ['good.com'] }] };
    for (const action of ['ALLOW', 'DENY'] as const) {
      assert.equal(
        isMatched(rule, connectionOf(), requestOf({ authority: 'good.com:80' }), { action }),
        true,
      );
      assert.equal(isMatched(rule, connectionOf(), requestOf({ authority: 'GOOD.com' }), { action }), false);
    }
  });
});

describe('principal match', () => {
  const cases: readonly (readonly [wanted: string, identity: string, matched: boolean])[] = [
    ['*', SLEEP, true],
    ['*', 'anything', true],
    ['cluster.local/ns/foo/sa/sleep', SLEEP, true],
    ['cluster.local/ns/foo/sa/sleep', 'cluster.local/ns/foo/sa/sleep', false],
    ['cluster.local/ns/foo/sa/sleep', `${SLEEP}2`, false],
    ['spiffe://cluster.local/ns/foo/sa/sleep', SLEEP, false],
    ['cluster.local/ns/foo/*', SLEEP, true],
    ['cluster.local/ns/fo*', SLEEP, true],
    ['cluster.local/ns/foo/*', 'spiffe://cluster.local/ns/bar/sa/sleep', false],
    ['*/ns/foo/sa/sleep', SLEEP, true],
    ['*/ns/foo/sa/sleep', 'spiffe://a/b/ns/foo/sa/sleep', true],
    ['*/ns/foo/sa/sleep', '/ns/foo/sa/sleep', false],
    ['*/sa/sleep', 'spiffe:///sa/sleep', true],
    ['*//sa/sleep', 'spiffe://sa/sleep', false],
    ['*sleep', SLEEP, true],
    ['*slee', SLEEP, false],
    ['*/ns/n/sa/f', 'spiffe://cluster.local/ns/n/sa/f', true],
    ['*/ns/n/sa/f', 'spiffe://cluster.local/ns/n/sa/ff', false],
  ];
  for (const [wanted, identity, matched] of cases) {
    it(`${wanted} ${matched ? 'matches' : 'does not match'} ${identity}`, () => {
      const connection = connectionOf({ identities: [identity] });
      assert.equal(isMatched({ from: [{ principals: [wanted] }] }, connection, requestOf()), matched);
      const key: RuleText = { when: [{ key: 'source.principal', values: [wanted] }] };
      assert.equal(isMatched(key, connection, requestOf()), matched);
    });
  }

  it('tries every identity of the peer', () => {
    const connection = connectionOf({ identities: ['spiffe://x/ns/a/sa/b', 'b.example', SLEEP] });
    const rule: RuleText = { from: [{ principals: ['cluster.local/ns/foo/sa/sleep'] }] };
    assert.equal(isMatched(rule, connection, requestOf()), true);
    const not: RuleText = { from: [{ notPrincipals: ['cluster.local/ns/foo/sa/sleep'] }] };
    assert.equal(isMatched(not, connection, requestOf()), false);
  });

  const identityFields = ['principals', 'namespaces', 'serviceAccounts', 'trustDomains'] as const;
  it('matches nobody without an identity, and every not field then holds', () => {
    const plaintext = connectionOf({ identities: [] });
    for (const field of identityFields) {
      const value = field === 'serviceAccounts' ? 'sleep' : '*';
      assert.equal(isMatched({ from: [{ [field]: [value] }] }, plaintext, requestOf()), false, field);
      const not = `not${field.charAt(0).toUpperCase()}${field.slice(1)}`;
      assert.equal(isMatched({ from: [{ [not]: [value] }] }, plaintext, requestOf()), true, not);
    }
  });
});

describe('namespace match', () => {
  const cases: readonly (readonly [wanted: string, identity: string, matched: boolean])[] = [
    ['foo', SLEEP, true],
    ['fo', SLEEP, false],
    ['oo', SLEEP, false],
    ['foo', 'spiffe://td/ns/foo', false],
    ['foo', 'spiffe://td/ns/foo/', true],
    ['fo*', SLEEP, true],
    ['*oo', SLEEP, true],
    ['f*o', SLEEP, true],
    ['f*x', SLEEP, false],
    ['f*f', 'spiffe://td/ns/f/sa/x', false],
    ['f*f', 'spiffe://td/ns/ff/sa/x', true],
    ['*', SLEEP, true],
    ['f*', 'spiffe://td/ns/bar/f/x', false],
    ['b*/f', 'spiffe://td/ns/bar/f/x', true],
    ['b*f', 'spiffe://td/ns/bar/f/x', true],
    ['foo', 'spiffe://td/ns/bar/ns/foo/sa/x', true],
    ['ns', 'spiffe://td/ns/ns/x', true],
    ['x', 'spiffe://td/ns/ns/x/', true],
    ['f.o', SLEEP, false],
    ['foo', `${SLEEP}\n`, false],
  ];
  for (const [wanted, identity, matched] of cases) {
    it(`${wanted} ${matched ? 'matches' : 'does not match'} ${JSON.stringify(identity)}`, () => {
      const connection = connectionOf({ identities: [identity] });
      assert.equal(isMatched({ from: [{ namespaces: [wanted] }] }, connection, requestOf()), matched);
      const key: RuleText = { when: [{ key: 'source.namespace', values: [wanted] }] };
      assert.equal(isMatched(key, connection, requestOf()), matched);
    });
  }
});

describe('service account match', () => {
  const cases: readonly (readonly [wanted: string, identity: string, matched: boolean])[] = [
    ['sleep', SLEEP, true],
    ['foo/sleep', SLEEP, true],
    ['bar/sleep', SLEEP, false],
    ['sleep', 'spiffe://cluster.local/ns/bar/sa/sleep', false],
    ['sleep', `${SLEEP}2`, false],
    ['sleep', `${SLEEP}/`, false],
    ['sleep', `${SLEEP}/pod/x`, true],
    ['sleep', 'spiffe://cluster.local/ns/foo/x/y/sa/sleep', true],
    ['sleep', 'spiffe://cluster.local/ns/foo//sa/sleep', false],
    ['sleep', 'spiffe://cluster.local/ns/foo/a/sa/sleepy/sa/sleep', true],
    ['sleep', 'spiffe:///ns/foo/sa/sleep', false],
    ['sleep', 'spiffe://a/ns/foo/sa/sleep', true],
    ['sleep', 'x://cluster.local/ns/foo/sa/sleep', false],
    ['a.b', 'spiffe://cluster.local/ns/foo/sa/axb', false],
    ['a.b', 'spiffe://cluster.local/ns/foo/sa/a.b', true],
    ['foo/sa', 'spiffe://td/ns/foo/sa/sa', true],
  ];
  for (const [wanted, identity, matched] of cases) {
    it(`${wanted} ${matched ? 'matches' : 'does not match'} ${identity}`, () => {
      const connection = connectionOf({ identities: [identity] });
      assert.equal(isMatched({ from: [{ serviceAccounts: [wanted] }] }, connection, requestOf()), matched);
      const key: RuleText = { when: [{ key: 'source.serviceAccount', values: [wanted] }] };
      assert.equal(isMatched(key, connection, requestOf()), matched);
    });
  }
});

describe('request principal match', () => {
  const cases: readonly (readonly [wanted: string, iss: string, sub: string, matched: boolean])[] = [
    ['*', 'a', 'b', true],
    ['*', 'a', '', false],
    ['foo/bar', 'foo', 'bar', true],
    ['foo/bar', 'foo', 'barr', false],
    ['https://a.com/bar', 'https://a.com', 'bar', true],
    ['https://a.com/bar', 'https:', '/a.com/bar', false],
    ['foo', 'foo', '', true],
    ['foo', 'foo', 'bar', false],
    ['*bar', 'x', 'foobar', true],
    ['*bar', '', 'foobar', false],
    ['*bar', 'x', 'foo', false],
    ['*/bar', 'x', 'bar', true],
    ['*/bar', 'x', 'foobar', false],
    ['*/bar', '', 'bar', false],
    ['*foo/bar', 'myfoo', 'bar', true],
    ['*foo/bar', 'myfoo', 'rebar', false],
    ['*foo/bar', 'foot', 'bar', false],
    ['foo*', 'foobar', 'x', true],
    ['foo*', 'foobar', '', false],
    ['foo*', 'fo', 'x', false],
    ['foo/*', 'foo', 'x', true],
    ['foo/*', 'foo', '', false],
    ['foo/*', 'foobar', 'x', false],
    ['foo/ba*', 'foo', 'bar', true],
    ['foo/ba*', 'foo', 'b', false],
    ['foo/ba*', 'foo/x', 'bar', false],
    ['*foo/ba*', 'myfoo', 'ba*', true],
    ['*foo/ba*', 'myfoo', 'bar', false],
  ];
  for (const [wanted, iss, sub, matched] of cases) {
    it(`${wanted} ${matched ? 'matches' : 'does not match'} iss ${iss} and sub ${sub}`, () => {
      const request = requestOf({ token: tokenOf({ iss, sub }) });
      assert.equal(isMatched({ from: [{ requestPrincipals: [wanted] }] }, connectionOf(), request), matched);
      const key: RuleText = { when: [{ key: 'request.auth.principal', values: [wanted] }] };
      assert.equal(isMatched(key, connectionOf(), request), matched);
    });
  }

  it('takes notRequestPrincipals * for no token, and for a token without a subject', () => {
    const rule: RuleText = { from: [{ notRequestPrincipals: ['*'] }] };
    assert.equal(isMatched(rule, connectionOf(), requestOf(), { action: 'DENY' }), true);
    for (const claims of [{ iss: 'a' }, { sub: 'b' }, { iss: 1, sub: 'b' }, { iss: 'a', sub: ['b'] }]) {
      const request = requestOf({ token: tokenOf(claims) });
      assert.equal(
        isMatched(rule, connectionOf(), request, { action: 'DENY' }),
        true,
        JSON.stringify(claims),
      );
    }
    const request = requestOf({ token: tokenOf({ iss: 'a', sub: 'b' }) });
    assert.equal(isMatched(rule, connectionOf(), request, { action: 'DENY' }), false);
  });
});

describe('claim match', () => {
  // In brackets `__proto__` is a key of its own, as JSON.parse makes it.
  const payload: Readonly<Record<string, unknown>> = {
    iss: 'a',
    aud: ['x', 'y'],
    azp: 'web',
    groups: ['admin', 'user'],
    scope: ['read', 'write'],
    n: 1,
    t: true,
    nil: null,
    empty: '',
    deep: { er: { role: 'root' }, list: ['p', 'q'] },
    'a.b': 'dot',
    'a[b]': 'odd',
    'a[b][c': 'odder',
    mixed: [1, 'one', ['two']],
    ['__proto__']: { role: 'forged' },
    constructor: 'own',
  };
  const cases: readonly (readonly [key: string, wanted: string, matched: boolean])[] = [
    ['request.auth.audiences', 'y', true],
    ['request.auth.audiences', 'x,y', false],
    ['request.auth.presenter', 'web', true],
    ['request.auth.presenter', 'we*', true],
    ['request.auth.claims[groups]', 'admin', true],
    ['request.auth.claims[groups]', '*', true],
    ['request.auth.claims[groups]', 'root', false],
    ['request.auth.claims[scope]', 'read', true],
    ['request.auth.claims[scope]', 'read write', false],
    ['request.auth.claims[n]', '1', false],
    ['request.auth.claims[n]', '*', false],
    ['request.auth.claims[t]', 'true', false],
    ['request.auth.claims[nil]', '*', false],
    ['request.auth.claims[empty]', '*', false],
    ['request.auth.claims[deep]', '*', false],
    ['request.auth.claims[deep][er][role]', 'root', true],
    ['request.auth.claims[deep][er]', '*', false],
    ['request.auth.claims[deep][list]', 'q', true],
    ['request.auth.claims[groups][0]', '*', false],
    ['request.auth.claims[groups][length]', '*', false],
    ['request.auth.claims[a.b]', 'dot', true],
    ['request.auth.claims[a[b]]', 'odd', true],
    ['request.auth.claims[a[b][c]', 'odder', true],
    ['request.auth.claims[mixed]', 'one', true],
    ['request.auth.claims[mixed]', 'two', false],
    ['request.auth.claims[mixed]', '1', false],
    ['request.auth.claims[missing]', '*', false],
    ['request.auth.claims[toString]', '*', false],
    ['request.auth.claims[role]', '*', false],
    ['request.auth.claims[__proto__][role]', 'forged', true],
    ['request.auth.claims[deep][__proto__]', '*', false],
    ['request.auth.claims[deep][constructor][name]', 'Object', false],
    ['request.auth.claims[constructor]', 'own', true],
  ];
  for (const [key, wanted, matched] of cases) {
    it(`${key} ${matched ? 'matches' : 'does not match'} ${wanted}`, () => {
      const request = requestOf({ token: tokenOf(payload) });
      assert.equal(isMatched({ when: [{ key, values: [wanted] }] }, connectionOf(), request), matched);
      assert.equal(isMatched({ when: [{ key, notValues: [wanted] }] }, connectionOf(), request), !matched);
    });
  }

  it('is looked for among own properties only', () => {
    // Without brackets `__proto__` sets the prototype.
    const request = requestOf({ token: tokenOf({ __proto__: { role: 'admin' } }) });
    const key = 'request.auth.claims[role]';
    assert.equal(isMatched({ when: [{ key, values: ['admin'] }] }, connectionOf(), request), false);
  });

  it('is not there without a token, so notValues hold', () => {
    const key = 'request.auth.claims[groups]';
    assert.equal(isMatched({ when: [{ key, values: ['*'] }] }, connectionOf(), requestOf()), false);
    assert.equal(isMatched({ when: [{ key, notValues: ['admin'] }] }, connectionOf(), requestOf()), true);
  });
});
