/**
 * `npm run test:compose`: brings docker-compose.yml up for real, checks what it promises, and takes it down again.
 *
 * Exit code 0 if every check holds and nothing is left behind, else 1. Bounded in time; Ctrl-C cleans up as well.
 * `-- --where-possible`: where there is no Docker and none can be started, it says so and exits with 0.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildBaseImage } from './base-image.ts';
import { ComposeProject } from './compose-project.ts';
import { findDaemon } from './docker-daemon.ts';
import type { Daemon } from './docker-daemon.ts';
import { PAIR_CHECKS } from './pair-checks.ts';
import { runCommand } from './run-command.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const BASE_IMAGE = 'node:26-bookworm-slim';
const IMAGE = 'postern';

const WHOLE_MS = 10 * 60_000;
const QUICK_MS = 30_000;
const PULL_MS = 120_000;
const BUILD_MS = 300_000;
const UP_MS = 120_000;
const READY_MS = 90_000;
/** Docker gives a container 10 s between SIGTERM and SIGKILL. */
const STOP_MS = 60_000;

const { values: flags } = parseArgs({
  options: { compose: { type: 'string' }, 'where-possible': { type: 'boolean', default: false } },
});

const startedAt = performance.now();
const abort = new AbortController();
let failed = 0;
process.exitCode = await main();

async function main(): Promise<number> {
  const stop = (why: string): void => {
    if (!abort.signal.aborted) say(`stopped: ${why}`);
    abort.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop(signal));
  const deadline = setTimeout(() => stop(`no end after ${WHOLE_MS / 60_000} minutes`), WHOLE_MS);
  deadline.unref();
  try {
    const ground = await findGround(abort.signal);
    if (ground === null) return 0;
    await onGround(ground, abort.signal);
  } catch (thrown) {
    fail(thrown);
  }
  clearTimeout(deadline);
  say(failed === 0 ? 'all checks hold' : `${failed} failed`);
  return failed === 0 && !abort.signal.aborted ? 0 : 1;
}

interface Ground {
  readonly command: readonly string[];
  readonly daemon: Daemon;
}

/** null: it cannot be done here, and that is all right. */
async function findGround(signal: AbortSignal): Promise<Ground | null> {
  try {
    const command = await findCompose(signal);
    return { command, daemon: await findDaemon(signal) };
  } catch (thrown) {
    if (!flags['where-possible'] || signal.aborted) throw thrown;
    say(`NOT RUN, nothing was checked: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    return null;
  }
}

async function onGround({ command, daemon }: Ground, signal: AbortSignal): Promise<void> {
  say(`Docker ${daemon.version}, ${daemon.isOwn ? 'a daemon of our own' : 'the daemon that is there'}`);
  try {
    const name = `postern-test-${process.pid}`;
    const project = new ComposeProject({
      command,
      root: ROOT,
      name,
      environment: daemon.environment,
      signal,
    });
    const madeImages = await prepareImages(project, daemon, signal);
    try {
      await useProject(project);
    } finally {
      await takeDown(project.with(AbortSignal.timeout(STOP_MS)), madeImages);
    }
  } finally {
    await daemon.stop();
    if (daemon.isOwn) checkNothingLeft();
  }
}

async function findCompose(signal: AbortSignal): Promise<readonly string[]> {
  const candidates = flags.compose === undefined ? ['docker-compose', 'docker compose'] : [flags.compose];
  for (const candidate of candidates) {
    const command = candidate.split(' ');
    const told = await runCommand([...command, 'version'], { timeoutMs: QUICK_MS, signal }).catch(() => null);
    if (told === null) continue;
    say(`${candidate}: ${told.split('\n', 1)[0] ?? ''}`);
    return command;
  }
  throw new Error(`there is no ${candidates.join(' and no ')}: install docker-compose`);
}

/** Answers the images that are ours to remove. */
async function prepareImages(
  project: ComposeProject,
  daemon: Daemon,
  signal: AbortSignal,
): Promise<string[]> {
  const made: string[] = [];
  // Those of our own daemon go with it.
  const noteMade = (image: string): void => {
    if (!daemon.isOwn) made.push(image);
  };
  const has = (image: string): Promise<boolean> =>
    project.docker(['image', 'inspect', image]).then(
      () => true,
      () => false,
    );
  if (!(await has(IMAGE))) noteMade(IMAGE);
  if (await has(BASE_IMAGE)) return made;
  noteMade(BASE_IMAGE);
  if (!daemon.isOwn && (await project.docker(['pull', BASE_IMAGE], PULL_MS).catch(() => null)) !== null) {
    say(`pulled ${BASE_IMAGE}`);
    return made;
  }
  const folder = mkdtempSync(path.join(tmpdir(), 'postern-base-'));
  try {
    const { environment } = daemon;
    await buildBaseImage({ name: BASE_IMAGE, root: ROOT, folder, environment, signal });
    say(`made ${BASE_IMAGE} from the programs of this machine`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return made;
}

async function useProject(project: ComposeProject): Promise<void> {
  await project.compose(['build'], BUILD_MS);
  say(`built ${IMAGE}: ${await sizes(project)}`);
  try {
    await project.compose(['up', '--detach'], UP_MS);
    say('up');
    await project.ready(READY_MS);
    say('every health check passes');
    for (const check of PAIR_CHECKS) await attempt(check.name, () => check.run(project));
    const before = await given(project);
    await attempt('SIGTERM ends every container in good order', () => stopAll(project));
    await attempt('a second start uses the same root and gives new tokens', () =>
      startAgain(project, before),
    );
  } catch (thrown) {
    fail(thrown);
  }
  if (failed === 0) return;
  const logs = ['logs', '--no-color', '--tail', '30'];
  console.log(await project.with(AbortSignal.timeout(QUICK_MS)).compose(logs));
}

/** What our layers add to the base image. */
async function sizes(project: ComposeProject): Promise<string> {
  const words = ['image', 'inspect', '--format', '{{.Size}}', BASE_IMAGE, IMAGE];
  const [base = 0, whole = 0] = (await project.docker(words)).trim().split('\n').map(Number);
  return `${((whole - base) / 1e6).toFixed(1)} MB on a base of ${(base / 1e6).toFixed(0)} MB`;
}

async function stopAll(project: ComposeProject): Promise<string> {
  const began = performance.now();
  await project.compose(['stop'], STOP_MS);
  const took = ((performance.now() - began) / 1_000).toFixed(1);
  const codes = [...(await project.containers())].map(
    ([service, { State }]) => [service, State.ExitCode] as const,
  );
  const bad = codes.filter(([, code]) => code !== 0);
  if (bad.length > 0) throw new Error(`exit codes: ${bad.map((one) => one.join(' ')).join(', ')}`);
  return `${codes.length} containers with exit code 0 in ${took} s`;
}

async function startAgain(project: ComposeProject, before: Given): Promise<string> {
  await project.compose(['up', '--detach'], UP_MS);
  await project.ready(READY_MS);
  const now = await given(project);
  if (now.root !== before.root) throw new Error('there is another root than before');
  if (now.token === before.token) throw new Error('there is no new token');
  const [first] = PAIR_CHECKS;
  return first === undefined ? '' : first.run(project);
}

interface Given {
  readonly root: string;
  readonly token: string;
}

/** What foo-sleep was enrolled with; compared here, and never printed. */
async function given(project: ComposeProject): Promise<Given> {
  const read = (name: string): Promise<string> =>
    project.compose(['exec', '-T', 'foo-sleep-agent', 'cat', `/run/postern/${name}`]);
  return { root: await read('root-cert.pem'), token: await read('token') };
}

async function takeDown(project: ComposeProject, madeImages: readonly string[]): Promise<void> {
  await report('docker-compose down -v leaves nothing', async () => {
    await project.compose(['down', '--volumes', '--remove-orphans'], STOP_MS);
    const remains = await project.remains();
    if (remains.length > 0) throw new Error(remains.join('\n'));
    for (const image of madeImages) await project.docker(['image', 'rm', image]).catch(() => null);
    return 'no container, volume or network of the project';
  });
}

/** Our daemon lived in namespaces of its own: nothing of it may show in ours. */
function checkNothingLeft(): void {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes('postern-compose-'));
  if (mounts.length > 0) fail(new Error(`mounts are left:\n${mounts.join('\n')}`));
}

/** Nothing more is begun once all is to stop. */
async function attempt(name: string, run: () => Promise<string>): Promise<void> {
  if (!abort.signal.aborted) await report(name, run);
}

async function report(name: string, run: () => Promise<string>): Promise<void> {
  try {
    say(`ok    ${name}: ${await run()}`);
  } catch (thrown) {
    fail(thrown, name);
  }
}

function fail(thrown: unknown, name = ''): void {
  failed++;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  say(`FAILED${name === '' ? '' : ` ${name}`}: ${message}`);
}

function say(text: string): void {
  console.log(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s  ${text}`);
}
