/** Scenario: one client, two servers that both take plaintext; it speaks mTLS where there is a sidecar. */
import type { PlannedCheck, Scenario } from './check.ts';
import { CLIENT_ID } from './demo-names.ts';
import { clientAsSeen } from './describe-exchange.ts';

export const autoMtls: Scenario = {
  title: 'Auto mTLS, under PERMISSIVE',
  checks: [
    callOf('to an app with sidecar', 'httpbin.foo', `200, foo/httpbin saw ${CLIENT_ID}`),
    callOf('to an app without', 'httpbin.legacy', '200, legacy/httpbin saw no client identity'),
  ],
};

function callOf(name: string, host: string, expected: string): PlannedCheck {
  return {
    name,
    expected,
    async observe(mesh) {
      await mesh.setMode('PERMISSIVE');
      return { got: clientAsSeen(await mesh.call('foo/sleep', host)), notes: [] };
    },
  };
}
