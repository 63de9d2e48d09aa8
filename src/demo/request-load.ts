/**
 * Callers that hardly pause, while something else happens: foo/sleep's app on connections that it keeps and on a new
 * one for every request, by its sidecar; and a client that makes a whole mTLS handshake for every request.
 */
import { Agent, get } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../core/errors.ts';
import { type DemoMesh, getRequest } from './demo-mesh.ts';
import { CLIENT_ID } from './demo-names.ts';
import { clientAsSeen } from './describe-exchange.ts';
import { WAIT_MS } from './with-deadline.ts';

const KEEP_ALIVE_CLIENTS = 3;
const PAUSE_MS = 5;
const SERVICE = 'httpbin.foo';
const GOOD = `200, foo/httpbin saw ${CLIENT_ID}`;

export interface LoadResult {
  /** On connections that are kept, and how many of those were made. */
  readonly kept: { readonly requests: number; readonly connections: number };
  /** On one connection each. */
  readonly fresh: number;
  readonly handshakes: number;
  readonly failed: number;
  /** '' if none failed. */
  readonly firstFailure: string;
}

export class RequestLoad {
  readonly #mesh: DemoMesh;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: KEEP_ALIVE_CLIENTS });
  readonly #kept = { requests: 0, connections: 0 };
  readonly #loops: readonly Promise<void>[];
  #isStopped = false;
  #fresh = 0;
  #handshakes = 0;
  #failed = 0;
  #firstFailure = '';

  /** Begins at once. */
  constructor(mesh: DemoMesh) {
    this.#mesh = mesh;
    const keepAlive = async (): Promise<string> => {
      this.#kept.requests++;
      return this.#ask();
    };
    const fresh = async (): Promise<string> => {
      this.#fresh++;
      return clientAsSeen(await mesh.call('foo/sleep', SERVICE, '/load'));
    };
    const handshake = async (): Promise<string> => {
      this.#handshakes++;
      return clientAsSeen(await mesh.send(mesh.sleepItself(), getRequest('/load')));
    };
    const kept = Array.from({ length: KEEP_ALIVE_CLIENTS }, () => this.#loop(keepAlive));
    this.#loops = [...kept, this.#loop(fresh), this.#loop(handshake)];
  }

  /** Lets the requests under way end. */
  async stop(): Promise<LoadResult> {
    this.#isStopped = true;
    await Promise.all(this.#loops);
    this.#agent.destroy();
    return {
      kept: this.#kept,
      fresh: this.#fresh,
      handshakes: this.#handshakes,
      failed: this.#failed,
      firstFailure: this.#firstFailure,
    };
  }

  async #loop(ask: () => Promise<string>): Promise<void> {
    while (!this.#isStopped && !this.#mesh.signal.aborted) {
      try {
        const seen = await ask();
        if (seen !== GOOD) this.#fail(seen);
      } catch (thrown) {
        this.#fail(messageOf(thrown));
      }
      // All of the mesh is in this process: callers that never paused would take the time of those who renew.
      await delay(PAUSE_MS);
    }
  }

  #fail(why: string): void {
    this.#failed++;
    if (this.#firstFailure === '') this.#firstFailure = why;
  }

  /** One request on a connection that is kept. */
  #ask(): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const { signal, workloads } = this.#mesh;
    const { host, port } = workloads['foo/sleep'].egress;
    const request = get({
      agent: this.#agent,
      host,
      port,
      path: '/load',
      headers: { host: SERVICE },
      signal,
    });
    request.setTimeout(WAIT_MS, () => request.destroy(new Error(`no answer within ${WAIT_MS} ms`)));
    request.on('error', reject);
    request.on('response', (response) => {
      if (!request.reusedSocket) this.#kept.connections++;
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body += text;
      });
      response.on('error', reject);
      response.on('end', () => {
        const answer = { status: response.statusCode ?? 0, body };
        try {
          resolve(clientAsSeen({ answer, client: '', serverSerial: '' }));
        } catch (thrown) {
          reject(thrown instanceof Error ? thrown : new Error(String(thrown)));
        }
      });
    });
    return promise;
  }
}
