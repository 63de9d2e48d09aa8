/**
 * Our target parser and normaliser against a real Envoy, mode by mode, on random targets.
 *
 * POSTERN_ENVOY names the Envoy binary; POSTERN_ENVOY_TARGETS how many targets (default 3000) are compared.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import * as fc from 'fast-check';
import { type NormalizationMode, normalizePath } from '../../src/path/normalize-path.ts';
import { parseRequestTarget } from '../../src/path/request-target.ts';

const envoy = process.env['POSTERN_ENVOY'] ?? '';
const targetCount = Number(process.env['POSTERN_ENVOY_TARGETS'] ?? 3000);

/** What Istio writes into the HTTP connection manager for each mode. */
const SETTINGS: Readonly<Record<NormalizationMode, object>> = {
  NONE: { normalizePath: false },
  BASE: { normalizePath: true },
  MERGE_SLASHES: { normalizePath: true, mergeSlashes: true },
  DECODE_AND_MERGE_SLASHES: {
    normalizePath: true,
    mergeSlashes: true,
    pathWithEscapedSlashesAction: 'UNESCAPE_AND_FORWARD',
  },
};
const MODES = Object.keys(SETTINGS) as NormalizationMode[];

/** Bits of paths that meet each other's rules, separated by spaces. */
const PIECES = [
  '/ / / // \\ . .. /. /.. /../ /./ %2e %2E %2e%2e /%2e%2e/',
  '% %% %2 %zz %25 %252e %2f %2F %5c %5C %%32 %3 %32%66 %00 %0',
  '; ..; .; /..;x=1/ ;x a b F 0 2 5 e f c %30 %41 %65 %66',
  "%7e %7E %20 %C3%A9 %ff %3F %23 %3b ~ - _ ! $ & ' ( ) *",
  '+ , : = @ [ ] " < > ^ ` { | } ? ?a/../b # #/.. \u00e9',
].flatMap((line) => line.split(' '));

const targets = fc.array(fc.constantFrom(...PIECES), { maxLength: 9 }).map((pieces) => `/${pieces.join('')}`);

describe(
  'path normalisation beside Envoy',
  { skip: envoy === '' ? 'POSTERN_ENVOY names no Envoy binary' : false },
  () => {
    let echo: Server;
    let child: ChildProcess;
    let folder: string;
    let ports: Record<string, number>;

    before(async () => {
      folder = mkdtempSync(join(tmpdir(), 'postern-envoy-'));
      echo = createServer(echoTarget);
      echo.listen(0, '127.0.0.1');
      await once(echo, 'listening');
      child = spawn(envoy, ['--config-yaml', config(echo), '--disable-hot-restart', '--concurrency', '1'], {
        cwd: folder,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      ports = await listenerPorts(child);
    });

    after(async () => {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      echo.close();
      rmSync(folder, { recursive: true });
    });

    for (const mode of MODES) {
      it(`answers as Envoy for ${mode}`, async () => {
        const client = new Client(ports[mode]!);
        const differences: object[] = [];
        for (const target of fc.sample(targets, { numRuns: targetCount, seed: 20_261_123 })) {
          const wanted = await client.ask(target);
          const got = answer(target, mode);
          if (wanted !== got) differences.push({ target, envoy: wanted, ours: got });
        }
        client.close();
        assert.deepEqual(differences, []);
      });
    }
  },
);

function answer(target: string, mode: NormalizationMode): string {
  const parsed = parseRequestTarget('GET', target);
  if (parsed.kind !== 'origin') return '400';
  const path = normalizePath(parsed.path, mode);
  return path === null ? '400' : `200 ${path}`;
}

/** One keep-alive connection at a time; a refusal may close it. */
class Client {
  readonly #port: number;
  #socket: Socket | null = null;
  #text = '';
  #onAnswer: (answer: string) => void = () => undefined;

  constructor(port: number) {
    this.#port = port;
  }

  async ask(target: string): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>();
    this.#onAnswer = resolve;
    this.#text = '';
    this.#socket ??= this.#connect();
    this.#socket.write(Buffer.from(`GET ${target} HTTP/1.1\r\nhost: a\r\n\r\n`, 'latin1'));
    return promise;
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = null;
  }

  #connect(): Socket {
    const socket = connect(this.#port, '127.0.0.1');
    socket.on('data', (chunk: Buffer) => {
      if (this.#socket !== socket) return;
      this.#text += chunk.toString('latin1');
      this.#readAnswer();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.#onAnswer('closed');
    });
    return socket;
  }

  #readAnswer(): void {
    const bodyAt = this.#text.indexOf('\r\n\r\n') + 4;
    const length = Number(/content-length: ([0-9]+)/.exec(this.#text)?.[1] ?? 0);
    if (bodyAt < 4 || this.#text.length < bodyAt + length) return;
    if (this.#text.includes('connection: close')) this.close();
    const status = this.#text.slice(9, 12);
    this.#onAnswer(status === '200' ? `200 ${this.#text.slice(bodyAt)}` : status);
  }
}

/** Answers every request with its own target. */
function echoTarget(socket: Socket): void {
  let text = '';
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n')) {
      const target = text.slice(text.indexOf(' ') + 1, text.indexOf(' HTTP/'));
      text = text.slice(end + 4);
      socket.write(
        Buffer.from(`HTTP/1.1 200 OK\r\ncontent-length: ${target.length}\r\n\r\n${target}`, 'latin1'),
      );
    }
  });
}

/** Waits until Envoy's workers run, then asks it which ports it took. */
async function listenerPorts(process: ChildProcess): Promise<Record<string, number>> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let log = '';
  process.stderr!.setEncoding('utf8');
  process.stderr!.on('data', (chunk: string) => {
    log = (log + chunk).slice(-50_000);
    const admin = /admin address: 127\.0\.0\.1:([0-9]+)/.exec(log)?.[1];
    if (admin !== undefined && log.includes('starting main dispatch loop')) resolve(admin);
  });
  process.on('error', reject);
  process.on('exit', () => reject(new Error(`Envoy ended: ${log.slice(-2000)}`)));
  const response = await fetch(`http://127.0.0.1:${await promise}/listeners?format=json`);
  const body = (await response.json()) as {
    listener_statuses: { name: string; local_address: { socket_address: { port_value: number } } }[];
  };
  return Object.fromEntries(
    body.listener_statuses.map((status) => [status.name, status.local_address.socket_address.port_value]),
  );
}

function address(port: number): object {
  return { socketAddress: { address: '127.0.0.1', portValue: port } };
}

function config(upstream: Server): string {
  const listener = (mode: NormalizationMode): object => ({
    name: mode,
    address: address(0),
    filterChains: [
      {
        filters: [
          {
            name: 'http',
            typedConfig: {
              '@type':
                'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
              statPrefix: mode,
              ...SETTINGS[mode],
              routeConfig: {
                virtualHosts: [
                  {
                    name: 'all',
                    domains: ['*'],
                    routes: [{ match: { prefix: '/' }, route: { cluster: 'echo' } }],
                  },
                ],
              },
              httpFilters: [
                {
                  name: 'router',
                  typedConfig: {
                    '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router',
                  },
                },
              ],
            },
          },
        ],
      },
    ],
  });
  return JSON.stringify({
    admin: { address: address(0) },
    // As in Istio's bootstrap: the fragment is cut, by itself Envoy refuses the request.
    layeredRuntime: {
      layers: [
        {
          name: 'istio',
          staticLayer: { 'envoy.reloadable_features.http_reject_path_with_fragment': false },
        },
      ],
    },
    staticResources: {
      listeners: MODES.map(listener),
      clusters: [
        {
          name: 'echo',
          connectTimeout: '5s',
          loadAssignment: {
            clusterName: 'echo',
            endpoints: [
              { lbEndpoints: [{ endpoint: { address: address((upstream.address() as AddressInfo).port) } }] },
            ],
          },
        },
      ],
    },
  });
}
