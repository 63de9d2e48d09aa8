/** Scenario: the agents of a client and its server renew their certificates again and again, and callers go on. */
import type { Scenario } from './check.ts';
import { certificateSeenBy, parseAppView } from './demo-app.ts';
import { type DemoMesh, getRequest } from './demo-mesh.ts';
import { fingerprintOf } from './demo-workload.ts';
import { statusOf } from './describe-exchange.ts';
import { type LoadResult, RequestLoad } from './request-load.ts';

const ROTATIONS = 20;

export const rotations: Scenario = {
  title: 'Certificates that are renewed under load',
  checks: [
    {
      name: `${ROTATIONS} rotations over SDS`,
      expected: `${ROTATIONS} new serials of client and ${ROTATIONS} of server seen, 0 requests failed`,
      async observe(mesh) {
        await mesh.setMode('STRICT');
        const load = new RequestLoad(mesh);
        const clients = new Set<string>();
        const servers = new Set<string>();
        try {
          for (let rotation = 0; rotation < ROTATIONS; rotation++) {
            clients.add(await renewClient(mesh));
            servers.add(await renewServer(mesh));
          }
        } catch (thrown) {
          await load.stop();
          throw thrown;
        }
        const done = await load.stop();
        return {
          got: `${clients.size} new serials of client and ${servers.size} of server seen, ${failuresOf(done)}`,
          notes: [
            `meanwhile ${done.kept.requests} requests of foo/sleep on ${done.kept.connections} connections that were kept, ` +
              `${done.fresh} on one each, ${done.handshakes} with a handshake of their own`,
            ...(done.firstFailure === '' ? [] : [`first failure: ${done.firstFailure}`]),
          ],
        };
      },
    },
  ],
};

function failuresOf({ failed, fresh, handshakes, kept }: LoadResult): string {
  const isIdle = kept.requests === 0 || fresh === 0 || handshakes === 0;
  return isIdle ? 'no requests were sent' : `${failed} requests failed`;
}

/** What foo/httpbin's app is told of the connection between the sidecars must be the new certificate. */
async function renewClient(mesh: DemoMesh): Promise<string> {
  const { chainPem, serial } = await renew(mesh, 'foo/sleep');
  const done = await mesh.call('foo/sleep', 'httpbin.foo', '/rotated');
  if (done.answer?.status !== 200) throw new Error(`after a renewal: ${statusOf(done)}`);
  const seen = certificateSeenBy(parseAppView(done.answer.body));
  if (seen !== fingerprintOf(chainPem))
    throw new Error(`the app is told of certificate ${seen ?? 'none'} after the renewal to serial ${serial}`);
  return serial;
}

/** The next handshake must show it. */
async function renewServer(mesh: DemoMesh): Promise<string> {
  const { serial } = await renew(mesh, 'foo/httpbin');
  const done = await mesh.send(mesh.sleepItself(), getRequest('/rotated'));
  if (done.answer?.status !== 200) throw new Error(`after a renewal: ${statusOf(done)}`);
  if (done.serverSerial !== serial)
    throw new Error(`a handshake after the renewal to serial ${serial} shows ${done.serverSerial}`);
  return serial;
}

async function renew(
  mesh: DemoMesh,
  name: 'foo/sleep' | 'foo/httpbin',
): ReturnType<DemoMesh['server']['renew']> {
  const secret = await mesh.workloads[name].renew();
  mesh.identity.note(name, secret);
  return secret;
}
