/** With intercept.direct on the sidecar's own port, one request once made connections until maxConnections. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decideDirection } from '../../src/intercept/direction.ts';
import { FlowMesh } from '../flow/flow-mesh.ts';
import { freePort } from '../support/free-port.ts';
import { runPostern } from '../support/spawn-postern.ts';

describe('intercept.direct that is a port of the sidecar itself', () => {
  it('is an error of postern.yaml, for each of its listeners', async () => {
    const port = await freePort();
    using mesh = await FlowMesh.create({ appPort: port, documents: '' });
    for (const path of ['intercept.port', 'admin.port', 'metrics.port']) {
      const args = ['proxy', '--config', mesh.configFile, `--${path}`, String(port)];
      const { code, stderr } = await runPostern(args);
      assert.equal(code, 2, stderr);
      assert.match(stderr, new RegExp(`intercept\\.direct is ${path} of this sidecar itself`));
    }
  });

  it('is refused at the second hop where postern.yaml could not tell', () => {
    const dialled = { ip: '10.0.0.2', port: 15001 };
    const direction = decideDirection('main', dialled, null, {
      interceptPorts: new Set([15001]),
      reservedPorts: new Set(),
      direct: { host: '10.0.0.2', port: 15001 },
      appHost: '127.0.0.1',
      hostAddresses: { has: () => true },
    });
    assert.equal(direction.kind === 'refused' ? direction.code : direction.kind, 'own_port');
  });
});
