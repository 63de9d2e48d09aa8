import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import type { CheckResult, Scenario } from '../../src/demo/check.ts';
import { clientSeenBy, parseAppView } from '../../src/demo/demo-app.ts';
import type { DemoMesh } from '../../src/demo/demo-mesh.ts';
import { hostileRequests } from '../../src/demo/hostile-requests.ts';
import { certificateSwap } from '../../src/demo/certificate-swap.ts';
import { createDemoJsonPrinter } from '../../src/demo/print-demo-json.ts';
import { mutualTls } from '../../src/demo/mutual-tls.ts';
import { plaintextModes } from '../../src/demo/plaintext-modes.ts';
import { refusedCertificates } from '../../src/demo/refused-certificates.ts';
import { RequestLoad } from '../../src/demo/request-load.ts';
import { type DemoReporter, type DemoResult, runDemo } from '../../src/demo/run-demo.ts';
import { checkLeaks } from '../support/leak-check.ts';

const NEVER = new Promise<never>(() => {});

const SILENT: DemoReporter = {
  started() {},
  notStarted() {},
  scenario() {},
  checked() {},
  finished() {},
  serving() {},
};

interface Run {
  readonly scenarios: readonly Scenario[];
  readonly onStarted?: (mesh: DemoMesh) => Promise<void>;
  readonly stop?: AbortSignal;
  readonly deadlineMs?: number;
}

function runOnce({ stop, ...rest }: Run): Promise<DemoResult> {
  return runDemo({ once: true, stop: stop ?? new AbortController().signal, reporter: SILENT, ...rest });
}

function checkNamed({ checks }: DemoResult, name: string): CheckResult {
  const found = checks.find((check) => check.name === name);
  assert.ok(found, `no check "${name}"`);
  return found;
}

describe('a check fails when what it claims is not so', () => {
  checkLeaks();

  for (const { claim, scenario, name, got, breakIt } of [
    {
      claim: 'the app answers',
      scenario: mutualTls,
      name: 'mTLS',
      got: /^503$/,
      breakIt: (mesh: DemoMesh) => mesh.app.close(),
    },
    {
      claim: 'a path reaches the app normalised',
      scenario: hostileRequests,
      name: 'GET /app/../admin',
      got: /^503$/,
      breakIt: (mesh: DemoMesh) => mesh.app.close(),
    },
    {
      claim: 'the app saw this client',
      scenario: mutualTls,
      name: 'mTLS',
      got: /^closed without a status$/,
      breakIt: give('sleep', 'otherCa'),
    },
    {
      claim: 'a certificate of another CA is refused',
      scenario: refusedCertificates,
      name: 'certificate of another CA',
      got: /^200$/,
      breakIt: give('otherCa', 'sleep'),
    },
    {
      claim: 'the reason of a refusal is that one',
      scenario: refusedCertificates,
      name: 'expired certificate',
      got: /^closed without a status, tls_untrusted_certificate$/,
      breakIt: give('expired', 'otherCa'),
    },
    {
      claim: 'requests under load do not fail',
      scenario: certificateSwap,
      name: '20 swaps',
      got: /^no answer to compare: after a swap: 503$/,
      breakIt: (mesh: DemoMesh) => mesh.app.close(),
    },
    {
      claim: 'new handshakes show the new certificate',
      scenario: certificateSwap,
      name: '20 swaps',
      got: /^no answer to compare: a handshake after the swap to \w+ shows [0-9a-f]{32}$/,
      breakIt: (mesh: DemoMesh) => {
        mesh.certificates.swapServer = async () => {
          const serial = 'feed';
          mesh.logs.write(JSON.stringify({ code: 'secret', serial }));
          return Promise.resolve(serial);
        };
        return Promise.resolve();
      },
    },
  ]) {
    it(`${claim}: ${name}`, async () => {
      const result = await runOnce({ scenarios: [scenario], onStarted: breakIt });
      assert.equal(result.ok, false);
      const check = checkNamed(result, name);
      assert.equal(check.ok, false);
      assert.match(check.got, got);
    });
  }

  it('plaintext is closed under STRICT: the reload that would say so is refused', async () => {
    const result = await runOnce({
      scenarios: [plaintextModes],
      onStarted(mesh) {
        mesh.folder.write('mesh/broken.yaml', 'kind: [\n');
        return Promise.resolve();
      },
    });
    assert.equal(checkNamed(result, 'plaintext under PERMISSIVE').ok, true);
    const strict = checkNamed(result, 'plaintext under STRICT');
    assert.equal(strict.ok, false);
    assert.match(strict.got, /the sidecar refuses STRICT: /);
  });
});

describe('the load', () => {
  checkLeaks();

  it('counts every request that fails, on connections of both kinds', async () => {
    const scenario: Scenario = {
      title: 'made up',
      checks: [
        {
          name: 'load',
          expected: 'failures counted',
          async observe(mesh) {
            await mesh.app.close();
            const load = await new RequestLoad(mesh).stop();
            assert.equal(load.failed, load.keepAliveRequests + load.freshRequests);
            assert.ok(load.keepAliveRequests >= 3 && load.freshRequests >= 1);
            assert.equal(load.firstFailure, '503');
            return { got: 'failures counted', notes: [] };
          },
        },
      ],
    };
    const result = await runOnce({ scenarios: [scenario] });
    assert.equal(result.checks[0]?.got, 'failures counted');
  });
});

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
      scenarios: [mutualTls],
    });
    const live = { name: 'readiness', expected: '200 LIVE', got: '200 LIVE', ok: true };
    const seen = '200, the app saw spiffe://cluster.local/ns/foo/sa/sleep';
    const checks = [live, { name: 'mTLS', expected: seen, got: seen, ok: true }];
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
            return mesh.logs.waitFor('that nobody writes', () => false).then(() => NEVER);
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

  it('gives up what is not done by the deadline of all checks, and says so', async () => {
    const never = { expected: 'x', observe: () => NEVER };
    const scenario: Scenario = {
      title: 'made up',
      checks: [
        { name: 'first', ...never },
        { name: 'second', ...never },
      ],
    };
    const result = await runOnce({ scenarios: [scenario], deadlineMs: 300 });
    const why = 'no answer to compare: the checks took more than 300 ms';
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
      let ports: DemoMesh['ports'] | null = null;
      const result = await runOnce({
        scenarios: [mutualTls],
        onStarted(mesh) {
          ({ ports } = mesh);
          return Promise.resolve();
        },
      });
      assert.equal(result.ok, true, JSON.stringify(result.checks));
      assert.ok(ports);
      for (const taken of [15_001, 15_000, 15_021, 15_090]) {
        assert.ok(!Object.values(ports).includes(taken), `${taken} in ${JSON.stringify(ports)}`);
      }
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
      const view = parseAppView(JSON.stringify({ method: 'GET', path: '/', headers }));
      assert.equal(clientSeenBy(view), wanted);
    }
    assert.equal(clientSeenBy(parseAppView('{"method":"GET","path":"/","headers":{}}')), null);
  });

  it('is refused if another server gave it', () => {
    for (const body of ['[]', 'null', '{}', '{"method":"GET","path":7,"headers":{}}', 'not JSON']) {
      assert.throws(() => parseAppView(body), Error, body);
    }
  });
});

/** Puts one client's certificate in the place of another's. */
function give(
  to: keyof DemoMesh['certificates']['clients'],
  from: keyof DemoMesh['certificates']['clients'],
): (mesh: DemoMesh) => Promise<void> {
  return ({ certificates }) => {
    Object.assign(certificates.clients, { [to]: certificates.clients[from] });
    return Promise.resolve();
  };
}
