/** Scenario: what a client without a sidecar gets under PERMISSIVE, and after the document is rewritten under STRICT. */
import type { Scenario } from './check.ts';
import { getRequest } from './demo-mesh.ts';
import { SERVER_HOST, SERVER_ID } from './demo-names.ts';
import { clientAsSeen, refusalAsLogged } from './describe-exchange.ts';

/** A client that says itself who it is. */
const FORGED = `x-forwarded-client-cert: By=${SERVER_ID};URI=spiffe://cluster.local/ns/foo/sa/admin\r\n`;

export const legacyClient: Scenario = {
  title: 'PeerAuthentication, and a client without a sidecar',
  checks: [
    {
      name: 'plaintext under PERMISSIVE',
      expected: '200, foo/httpbin saw no client identity',
      async observe(mesh) {
        await mesh.setMode('PERMISSIVE');
        const done = await mesh.send(null, getRequest('/', SERVER_HOST, FORGED));
        return { got: clientAsSeen(done), notes: ['the request claimed one in x-forwarded-client-cert'] };
      },
    },
    {
      name: 'plaintext under STRICT',
      expected: 'closed without a status, no_filter_chain_match',
      async observe(mesh) {
        await mesh.setMode('STRICT');
        return refusalAsLogged(mesh, await mesh.send(null, getRequest('/')));
      },
    },
  ],
};
