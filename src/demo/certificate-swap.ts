/** Scenario: the sidecar's certificate is replaced again and again while clients never pause. */
import type { Scenario } from './check.ts';
import { getRequest } from './demo-mesh.ts';
import type { DemoMesh } from './demo-mesh.ts';
import { statusOf } from './describe-exchange.ts';
import { RequestLoad } from './request-load.ts';

const SWAPS = 20;

export const certificateSwap: Scenario = {
  title: 'Certificates that are swapped under load',
  checks: [
    {
      name: `${SWAPS} swaps`,
      expected: `${SWAPS} new serials seen by new connections, 0 requests failed`,
      async observe(mesh) {
        await mesh.setMode('STRICT');
        const load = new RequestLoad(mesh);
        const seen = new Set<string>();
        try {
          for (let swap = 0; swap < SWAPS; swap++) seen.add(await swapAndLook(mesh));
        } catch (thrown) {
          await load.stop();
          throw thrown;
        }
        const { keepAliveRequests, keepAliveConnections, freshRequests, failed, firstFailure } =
          await load.stop();
        const requests =
          keepAliveRequests === 0 || freshRequests === 0
            ? 'no requests were sent'
            : `${failed} requests failed`;
        return {
          got: `${seen.size} new serials seen by new connections, ${requests}`,
          notes: [
            `meanwhile ${keepAliveRequests} requests on ${keepAliveConnections} connections that were kept, ${freshRequests} on one each`,
            ...(firstFailure === '' ? [] : [`first failure: ${firstFailure}`]),
          ],
        };
      },
    },
  ],
};

/** Replaces the files, waits until the sidecar says so, and makes sure that the next handshake shows it. */
async function swapAndLook(mesh: DemoMesh): Promise<string> {
  const serial = await mesh.certificates.swapServer();
  await mesh.logs.waitFor(
    `of certificate ${serial}`,
    (line) => line.code === 'secret' && line.field('serial') === serial,
  );
  const done = await mesh.send(mesh.client(mesh.certificates.clients.sleep), getRequest('/swap'));
  if (done.answer?.status !== 200) throw new Error(`after a swap: ${statusOf(done)}`);
  if (done.serverSerial !== serial) {
    throw new Error(`a handshake after the swap to ${serial} shows ${done.serverSerial}`);
  }
  return done.serverSerial;
}
