/**
 * The authorization server in `ext-authz-go`, on the official messages of Envoy, and OPA: built once into the cache
 * folder, started as processes, stopped as only processes can be (SIGSTOP, SIGKILL).
 */
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, globSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { messageOf } from '../../src/core/errors.ts';
import { freePort } from '../support/free-port.ts';
import { withDeadline } from '../support/with-deadline.ts';

const SOURCE = fileURLToPath(new URL('ext-authz-go', import.meta.url));
const POLICY = fileURLToPath(new URL('opa', import.meta.url));
const CACHE = path.join(process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'), 'postern-ci');
/** The first build fetches and compiles grpc-go. */
const BUILD_MS = 100_000;
const START_MS = 15_000;

/** POSTERN_GO names the go command; without it the one on the PATH. */
const GO: string = process.env['POSTERN_GO'] ?? findOnPath('go');
/** POSTERN_OPA names the binary of OPA. */
const OPA: string = process.env['POSTERN_OPA'] ?? '';

/** For `describe`. The first build fetches modules: without a network there is nothing to test with. */
export const SKIP_WITHOUT_GO: string | false = await buildServer().then(
  () => false,
  (error: unknown) => `test/interop/ext-authz-go cannot be built: ${messageOf(error)}`,
);
export const SKIP_WITHOUT_OPA: string | false =
  OPA === '' ? 'POSTERN_OPA names no OPA binary' : SKIP_WITHOUT_GO;

function findOnPath(command: string): string {
  const folders = (process.env['PATH'] ?? '').split(path.delimiter);
  return folders.map((folder) => path.join(folder, command)).find((file) => existsSync(file)) ?? '';
}

/** Builds it unless these very sources were built before; several test processes may do so at once. */
async function buildServer(): Promise<string> {
  if (GO === '') throw new Error('there is no go command, on the PATH or named by POSTERN_GO');
  const hash = createHash('sha256');
  for (const file of globSync('{*.go,go.mod,go.sum}', { cwd: SOURCE }).toSorted())
    hash.update(readFileSync(path.join(SOURCE, file)));
  const binary = path.join(CACHE, `ext-authz-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(binary)) return binary;
  mkdirSync(CACHE, { recursive: true });
  const made = `${binary}.${process.pid}`;
  await promisify(execFile)(GO, ['build', '-buildvcs=false', '-o', made, '.'], {
    cwd: SOURCE,
    timeout: BUILD_MS,
  });
  renameSync(made, binary);
  return binary;
}

/** A child process that ends with its test. */
class Served implements AsyncDisposable {
  readonly child: ChildProcess;

  constructor(child: ChildProcess) {
    this.child = child;
    child.on('error', () => {});
  }

  /** It keeps its sockets and does nothing. */
  hang(): void {
    this.child.kill('SIGSTOP');
  }

  goOn(): void {
    this.child.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exited;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }
}

export class ExtAuthzServer extends Served {
  readonly grpcPort: number;
  readonly httpPort: number;

  private constructor(child: ChildProcess, ports: { readonly grpc: number; readonly http: number }) {
    super(child);
    this.grpcPort = ports.grpc;
    this.httpPort = ports.http;
  }

  /** `opa`: the URL of a decision; '' decides as Istio's sample server does. Ports: 0 picks free ones. */
  static async start(
    opa = '',
    ports: { grpc: number; http: number } = { grpc: 0, http: 0 },
  ): Promise<ExtAuthzServer> {
    const args = ['-grpc', `127.0.0.1:${ports.grpc}`, '-http', `127.0.0.1:${ports.http}`, '-opa', opa];
    const child = spawn(await buildServer(), args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const [line] = (await withDeadline(
      Promise.race([
        once(child.stdout, 'data'),
        once(child, 'exit').then(() => Promise.reject(new Error('the authorization server ended'))),
      ]),
      START_MS,
      'the authorization server',
    )) as [Buffer];
    return new ExtAuthzServer(child, JSON.parse(line.toString()) as { grpc: number; http: number });
  }
}

/** `opa run --server` with the policy of `opa/authz.rego`. */
export class OpaServer extends Served {
  /** Of the decision. */
  readonly url: string;

  private constructor(child: ChildProcess, url: string) {
    super(child);
    this.url = url;
  }

  static async start(): Promise<OpaServer> {
    const port = await freePort();
    const base = `http://127.0.0.1:${port}`;
    const args = ['run', '--server', '--addr', `127.0.0.1:${port}`, '--disable-telemetry', POLICY];
    const child = spawn(OPA, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    const started = new OpaServer(child, `${base}/v1/data/postern/authz/decision`);
    let log = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log = (log + text).slice(-4_000);
    });
    const isUp = async (): Promise<void> => {
      while (child.exitCode === null) {
        const up = await fetch(`${base}/health`).then(
          ({ ok }) => ok,
          () => false,
        );
        if (up) return;
        await new Promise<void>((resume) => {
          setTimeout(resume, 20);
        });
      }
      throw new Error(`OPA ended: ${log}`);
    };
    await withDeadline(isUp(), START_MS, 'OPA', () => log);
    return started;
  }
}
