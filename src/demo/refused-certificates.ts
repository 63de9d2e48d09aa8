/** Scenario: certificates that foo/httpbin's sidecar does not take, each with its reason in the log. */
import type { PlannedCheck, Scenario } from './check.ts';
import type { Credentials } from './demo-client.ts';
import type { BadClients } from './demo-identity.ts';
import { getRequest } from './demo-mesh.ts';
import { refusalAsLogged } from './describe-exchange.ts';

export const refusedCertificates: Scenario = {
  title: 'Certificates that are refused',
  checks: [
    refusal('certificate of another CA', 'tls_untrusted_certificate', (clients) => clients.otherCa),
    refusal('expired certificate', 'tls_expired_certificate', (clients) => clients.expired),
    refusal('no certificate', 'tls_no_certificate', () => null),
  ],
};

function refusal(
  name: string,
  code: string,
  choose: (clients: BadClients) => Credentials | null,
): PlannedCheck {
  return {
    name,
    expected: `closed without a status, ${code}`,
    async observe(mesh) {
      await mesh.setMode('STRICT');
      const client = mesh.client(choose(mesh.identity.badClients));
      return refusalAsLogged(mesh, await mesh.send(client, getRequest('/')));
    },
  };
}
