/** Compiles the program as it is published: users run `dist`, so that is what is measured. */
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

let built: string | null = null;

/** Answers the path of the compiled program; throws with the compiler's words if it does not compile. */
export function buildPostern(root: string): string {
  if (built !== null) return built;
  const compiler = join(
    dirname(createRequire(import.meta.url).resolve('typescript/package.json')),
    'bin',
    'tsc',
  );
  const dist = join(root, 'dist');
  rmSync(dist, { recursive: true, force: true });
  const { status, stdout } = spawnSync(process.execPath, [compiler, '-p', root], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`Cannot compile src: ${stdout.split('\n')[0]}`);
  built = join(dist, 'main.js');
  return built;
}
