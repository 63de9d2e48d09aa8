/** `postern demo` on a mesh that is broken in the way of the first argument: run as its own process by tests. */
import { createPrivateKey } from 'node:crypto';
import { openSync, writeFileSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDemoCommand } from '../../src/cli/demo-command.ts';
import type { DemoMesh } from '../../src/demo/demo-mesh.ts';
import { privateKeys } from '../../src/demo/private-keys.ts';
import { rotations } from '../../src/demo/rotations.ts';
import { SCENARIOS } from '../../src/demo/scenarios.ts';
import type { DemoOptions } from '../../src/demo/run-demo.ts';

/** Of an agent, in force at that time. */
function keyOf(mesh: DemoMesh): string {
  return mesh.workloads['bar/sleep'].secret.keyPem;
}

function der(pem: string): Buffer {
  return createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' });
}

function jwk(pem: string): string {
  return JSON.stringify({ keys: [createPrivateKey(pem).export({ format: 'jwk' })] });
}

type Broken = Pick<DemoOptions, 'mesh' | 'onStarted' | 'scenarios'>;

function plant(write: (mesh: DemoMesh) => void): Broken {
  return { scenarios: [privateKeys], onStarted: (mesh) => Promise.resolve(write(mesh)) };
}

/** All but the one that takes most of the time. */
const QUICK = SCENARIOS.filter((scenario) => scenario !== rotations);

const BROKEN: Readonly<Record<string, Broken>> = {
  'no-agent': { scenarios: QUICK, mesh: { withoutAgent: ['bar/sleep'] } },
  'other-ca': { scenarios: QUICK, mesh: { ofOtherCa: ['bar/httpbin'] } },
  'pem-in-home': plant((mesh) => writeFileSync(join(homedir(), 'key.pem'), keyOf(mesh))),
  'der-in-tmpdir': plant((mesh) => writeFileSync(join(tmpdir(), 'key.der'), der(keyOf(mesh)))),
  'jwk-in-cwd': plant((mesh) => writeFileSync('jwks.json', jwk(keyOf(mesh)))),
  'pem-in-own-folder': plant((mesh) => mesh.folder.write('deep/er/all.json', JSON.stringify(keyOf(mesh)))),
  'open-without-name': plant((mesh) => {
    const file = join(mesh.folder.path, 'gone');
    writeFileSync(file, keyOf(mesh));
    openSync(file, 'r');
    rmSync(file);
  }),
  intact: {},
};

const [how = '', ...flags] = process.argv.slice(2);
const broken = BROKEN[how];
if (broken === undefined) throw new Error(`unknown way to break the demo: "${how}"`);
const output = flags.includes('--json') ? 'json' : 'text';
process.exit(
  await createDemoCommand(broken).run({ values: { once: true, output }, lists: {}, positionals: [] }),
);
