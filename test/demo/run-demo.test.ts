import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import type { Scenario } from '../../src/demo/check.ts';
import { clientSeenBy, parseAppView } from '../../src/demo/demo-app.ts';
import { DemoWorkload } from '../../src/demo/demo-workload.ts';
import { WORKLOAD_NAMES } from '../../src/demo/demo-names.ts';
import { createDemoJsonPrinter } from '../../src/demo/print-demo-json.ts';
import { autoMtls } from '../../src/demo/auto-mtls.ts';
import { identityChecks } from '../../src/demo/identity-checks.ts';
import { pairs } from '../../src/demo/pairs.ts';
import { rotations } from '../../src/demo/rotations.ts';
import { runDemo } from '../../src/demo/run-demo.ts';
import { checkNamed, runOnce } from './demo-fixture.ts';
import { checkLeaks } from '../support/leak-check.ts';

const NEVER = new Promise<never>(() => {});

describe('runDemo', () => {
  checkLeaks();

  it('fails a check that throws, with its reason, and goes on', async () => {
    const scenario: Scenario = {
      title: 'made up',
      checks: [
        { name: 'throws', expected: 'x', observe: () => Promise.reject(new Error('the reason')) },
        { name: 'holds', expected: 'y', observe: () => Promise.resolve({ got: 'y', notes: [] }) },
        { name: 'differs', expected: 'y', observe: () => Promise.resolve({ got: 'z', notes: [] }) },
      ],
    };
    const result = await runOnce({ scenarios: [scenario] });
    assert.equal(result.ok, false);
    assert.deepEqual(
      result.checks.map(({ name, got, ok }) => ({ name, got, ok })),
      [
        { name: 'throws', got: 'no answer to compare: the reason', ok: false },
        { name: 'holds', got: 'y', ok: true },
        { name: 'differs', got: 'z', ok: false },
      ],
    );
  });

  it('is printed as one JSON object, by name, expected, got and ok', async () => {
    const stream = new PassThrough({ encoding: 'utf8' });
    await runDemo({
      once: true,
      stop: new AbortController().signal,
      reporter: createDemoJsonPrinter(stream),
      scenarios: [identityChecks],
    });
    const live = '200 LIVE';
    const seen = '200, foo/httpbin saw spiffe://cluster.local/ns/foo/sa/sleep';
    const checks = [
      ...WORKLOAD_NAMES.map((name) => ({
        name: `readiness of ${name}`,
        expected: live,
        got: live,
        ok: true,
      })),
      { name: 'mTLS', expected: seen, got: seen, ok: true },
    ];
    assert.equal(stream.read(), `${JSON.stringify({ ok: true, checks })}\n`);
  });

  it('gives up a check that never answers when it is stopped, and removes its folder', async () => {
    const stop = new AbortController();
    let folder = '';
    const scenario: Scenario = {
      title: 'made up',
      checks: [
        {
          name: 'never',
          expected: 'x',
          observe(mesh) {
            folder = mesh.folder.path;
            assert.ok(existsSync(folder));
            stop.abort();
            // Neither this one nor what it waits for may be left.
            return mesh.server.logs.waitFor('that nobody writes', () => false).then(() => NEVER);
          },
        },
        { name: 'not tried', expected: 'x', observe: () => Promise.resolve({ got: 'x', notes: [] }) },
      ],
    };
    const result = await runOnce({ scenarios: [scenario], stop: stop.signal });
    assert.deepEqual(
      result.checks.map(({ got }) => got),
      ['no answer to compare: the demo was stopped', 'no answer to compare: the demo was stopped'],
    );
    assert.equal(existsSync(folder), false);
  });

  it('ends while it starts, and while certificates are renewed under load', async () => {
    const early = new AbortController();
    const starting = runOnce({ scenarios: [rotations], stop: early.signal });
    early.abort();
    const { started } = await starting;
    assert.equal(started, false);
    const late = new AbortController();
    let renewals = 0;
    const result = await runOnce({
      scenarios: [rotations],
      stop: late.signal,
      onStarted(mesh) {
        const sleep = mesh.workloads['foo/sleep'];
        sleep.renew = () => {
          if (++renewals === 3) late.abort();
          return DemoWorkload.prototype.renew.call(sleep);
        };
        return Promise.resolve();
      },
    });
    assert.equal(renewals, 3);
    assert.equal(
      checkNamed(result, '20 rotations over SDS').got,
      'no answer to compare: the demo was stopped',
    );
  });

  it('gives up what is not done by the deadline of all checks, and says so', async () => {
    const never = { expected: 'x', observe: () => NEVER };
    const scenario: Scenario = {
      title: 'made up',
      checks: [
        { name: 'first', ...never },
        { name: 'second', ...never },
      ],
    };
    const result = await runOnce({ scenarios: [scenario], deadlineMs: 4_000 });
    const why = 'no answer to compare: the checks took more than 4000 ms';
    assert.deepEqual(
      result.checks.map(({ got }) => got),
      [why, why],
    );
  });

  it('takes free ports, all of them, when one of Istio’s is taken', async () => {
    const holder = createServer();
    holder.listen(15_021, process.platform === 'linux' ? '127.0.0.11' : '127.0.0.1');
    // Whoever else has it: taken is what counts.
    await once(holder, 'listening').catch(() => {});
    try {
      const ports = new Set<number>();
      const result = await runOnce({
        scenarios: [identityChecks, pairs, autoMtls],
        onStarted(mesh) {
          for (const { host, ports: own } of Object.values(mesh.workloads)) {
            assert.equal(host, '127.0.0.1');
            const { egress, ingress, ...others } = own;
            for (const port of Object.values({ ...egress, ...ingress, ...others })) ports.add(port);
          }
          return Promise.resolve();
        },
      });
      assert.equal(result.ok, true, JSON.stringify(result.checks));
      assert.equal(ports.size, 20);
      for (const taken of [15_001, 15_000, 15_021, 15_090, 8_000, 8_080]) assert.ok(!ports.has(taken));
    } finally {
      if (holder.listening) {
        holder.close();
        await once(holder, 'close');
      }
    }
  });
});

describe('the app’s answer', () => {
  it('gives the identity of the last element, which is the sidecar’s own', () => {
    for (const [xfcc, wanted] of [
      ['By=a;Hash=b;Subject="";URI=spiffe://c/d', 'spiffe://c/d'],
      ['By=a;URI=spiffe://x/y,By=a;Hash=b;Subject="";URI=spiffe://c/d;DNS=e', 'spiffe://c/d'],
    ] as const) {
      const headers = { 'x-forwarded-client-cert': xfcc };
      const view = parseAppView(JSON.stringify({ app: 'foo/httpbin', method: 'GET', path: '/', headers }));
      assert.equal(clientSeenBy(view), wanted);
    }
    assert.equal(clientSeenBy(parseAppView('{"app":"a","method":"GET","path":"/","headers":{}}')), null);
  });

  it('is refused if another server gave it', () => {
    for (const body of [
      '[]',
      'null',
      '{}',
      '{"app":"a","method":"GET","path":7,"headers":{}}',
      '{"method":"GET","path":"/","headers":{}}',
      'not JSON',
    ]) {
      assert.throws(() => parseAppView(body), Error, body);
    }
  });
});
