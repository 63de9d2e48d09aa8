/** Says in a few words what came back, from the answer alone; checks compare these words. */
import type { Observation } from './check.ts';
import { clientSeenBy, parseAppView } from './demo-app.ts';
import type { Exchange } from './demo-client.ts';
import type { DemoMesh } from './demo-mesh.ts';

export function statusOf({ answer }: Exchange): string {
  return answer === null ? 'closed without a status' : String(answer.status);
}

/** The status, which app answered, and whom it saw as the client. */
export function clientAsSeen(done: Exchange): string {
  if (done.answer?.status !== 200) return statusOf(done);
  const view = parseAppView(done.answer.body);
  return `200, ${view.app} saw ${clientSeenBy(view) ?? 'no client identity'}`;
}

/** How the connection ended, and the code and hint of the log line that foo/httpbin's sidecar wrote about this client. */
export async function refusalAsLogged(mesh: DemoMesh, done: Exchange): Promise<Observation> {
  if (done.answer !== null) return { got: statusOf(done), notes: [] };
  const line = await mesh.server.logs.waitFor(
    `about client ${done.client}`,
    (one) => one.field('remote') === done.client && one.field('hint') !== '',
  );
  return { got: `${statusOf(done)}, ${line.code}`, notes: [line.field('hint')] };
}
