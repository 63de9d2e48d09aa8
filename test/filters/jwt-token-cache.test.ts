/** Tokens that are remembered: for how long, how many, and what makes them forgotten. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { JwtBench } from '../support/jwt-bench.ts';
import { jwtPlan, jwtRule, TestIssuer } from '../support/test-tokens.ts';

const A = new TestIssuer('a');
const inline = jwtPlan(jwtRule({ issuer: 'a', jwks: A.jwks() }));
const fetched = jwtPlan(jwtRule({ issuer: 'a', keySet: 'a keys' }));

describe('a token that was verified', () => {
  it('is answered in the same turn the next time, at whatever place', async () => {
    const bench = new JwtBench(inline);
    const token = await A.token();
    const first = await bench.bearer(token);
    assert.deepEqual([first.status, first.isSync], [200, false]);
    for (const again of [await bench.bearer(token), await bench.send({ path: `/?access_token=${token}` })]) {
      assert.deepEqual([again.status, again.isSync], [200, true]);
      assert.deepEqual(again.token, first.token);
    }
    const { allowed, cacheHit, cacheMiss } = bench.counters;
    assert.deepEqual([allowed, cacheHit, cacheMiss], [3, 2, 1]);
  });

  it('is remembered for each of several rules', async () => {
    const B = new TestIssuer('b');
    const rules = [
      ...inline.rules,
      jwtRule({ issuer: 'b', jwks: A.jwks() }),
      jwtRule({ issuer: 'b', jwks: B.jwks() }),
    ];
    const bench = new JwtBench(jwtPlan(...rules));
    const token = await B.token();
    assert.deepEqual([(await bench.bearer(token)).isSync, (await bench.bearer(token)).isSync], [false, true]);
  });

  it('is refused once it is expired, and before it is valid', async () => {
    const bench = new JwtBench(inline);
    const nowS = 1_000_000;
    bench.nowMs = nowS * 1000;
    const token = await A.token({ exp: nowS + 10, nbf: nowS - 10 });
    assert.equal((await bench.bearer(token)).status, 200);
    assert.equal(bench.cache.size, 1);
    bench.nowMs = (nowS - 71) * 1000;
    assert.equal((await bench.bearer(token)).body, 'Jwt not yet valid');
    bench.nowMs = (nowS + 71) * 1000;
    assert.equal((await bench.bearer(token)).body, 'Jwt is expired');
    assert.equal(bench.cache.size, 0);
  });

  it('is verified anew when the keys change, and refused when its key is gone', async () => {
    const bench = new JwtBench(fetched, [{ name: 'a keys', jwks: A.jwks() }]);
    const token = await A.token();
    await bench.bearer(token);
    assert.equal((await bench.bearer(token)).isSync, true);
    bench.keySets.put([{ name: 'a keys', jwks: A.jwks() }]);
    assert.equal((await bench.bearer(token)).isSync, true, 'the same keys are no change');
    const both = JSON.stringify({ keys: [new TestIssuer('a', 'ES256', 'other').jwk(), A.jwk()] });
    bench.keySets.put([{ name: 'a keys', jwks: both }]);
    const anew = await bench.bearer(token);
    assert.deepEqual([anew.status, anew.isSync], [200, false]);
    bench.keySets.put([{ name: 'a keys', jwks: new TestIssuer('a').jwks() }]);
    assert.equal((await bench.bearer(token)).body, 'Jwt verification fails');
    bench.keySets.put([{ name: 'a keys', jwks: null }]);
    assert.equal((await bench.bearer(token)).body, 'Jwks remote fetch is failed');
  });

  it('is forgotten when the keys change while it is being verified', async () => {
    const bench = new JwtBench(fetched, [{ name: 'a keys', jwks: A.jwks() }]);
    const token = await A.token();
    const pending = bench.bearer(token);
    bench.keySets.put([{ name: 'a keys', jwks: new TestIssuer('a').jwks() }]);
    await pending;
    assert.equal((await bench.bearer(token)).status, 401);
  });

  it('is forgotten when the rules change, and not when they say the same', async () => {
    const bench = new JwtBench(inline);
    const token = await A.token();
    await bench.bearer(token);
    bench.filter = bench.filterOf(structuredClone(inline));
    assert.equal((await bench.bearer(token)).isSync, true);
    bench.filter = bench.filterOf(jwtPlan({ ...inline.rules[0]!, audiences: ['x'] }));
    assert.equal(bench.cache.size, 0);
    assert.equal((await bench.bearer(token)).status, 403);
  });
});

describe('the memory for tokens', () => {
  it('holds no more than its limit of a thousand different ones', async () => {
    const bench = new JwtBench(inline, [], 50);
    const tokens = await Promise.all(
      Array.from({ length: 1_000 }, (_, sub) => A.token({ sub: String(sub) })),
    );
    for (const token of tokens) assert.equal((await bench.bearer(token)).status, 200);
    assert.equal(bench.cache.size, 50);
    assert.equal((await bench.bearer(tokens.at(-1) ?? '')).isSync, true);
    assert.equal((await bench.bearer(tokens[0] ?? '')).isSync, false);
  });

  it('has a limit of bytes besides', async () => {
    const bench = new JwtBench(inline, [], 10_000);
    const pad = 'x'.repeat(40_000);
    const tokens = await Promise.all(
      Array.from({ length: 400 }, (_, sub) => A.token({ sub: String(sub), pad })),
    );
    for (const token of tokens) await bench.bearer(token);
    assert.ok(bench.cache.size > 100 && bench.cache.size < 320, String(bench.cache.size));
  });

  it('takes no token that was refused', async () => {
    const bench = new JwtBench(inline);
    const wrongKey = await new TestIssuer('a').token();
    for (const token of ['x', 'a.b.c', wrongKey, await A.token({ exp: 1 })]) await bench.bearer(token);
    assert.equal(bench.cache.size, 0);
    const fields = ['authorization', `Bearer ${await A.token()}`];
    assert.equal((await bench.send({ fields, path: `/?access_token=${wrongKey}` })).status, 401);
    assert.equal(bench.cache.size, 0);
  });
});
