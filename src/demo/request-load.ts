/**
 * Clients that never pause, while something else happens: some on connections that they keep, one that makes a
 * new one, with a whole handshake, for every request.
 */
import https from 'node:https';
import { messageOf } from '../core/errors.ts';
import { CLIENT_ID } from './demo-documents.ts';
import { clientAsSeen } from './describe-exchange.ts';
import { secureOptions } from './demo-client.ts';
import { type DemoMesh, getRequest } from './demo-mesh.ts';
import { WAIT_MS } from './with-deadline.ts';

const KEEP_ALIVE_CLIENTS = 3;
const GOOD = `200, the app saw ${CLIENT_ID}`;

export interface LoadResult {
  readonly keepAliveRequests: number;
  /** Connections that the clients who keep theirs have made. */
  readonly keepAliveConnections: number;
  readonly freshRequests: number;
  readonly failed: number;
  /** '' if none failed. */
  readonly firstFailure: string;
}

export class RequestLoad {
  readonly #mesh: DemoMesh;
  readonly #agent: https.Agent;
  readonly #loops: readonly Promise<void>[];
  #isStopped = false;
  #keepAliveRequests = 0;
  #keepAliveConnections = 0;
  #freshRequests = 0;
  #failed = 0;
  #firstFailure = '';

  /** Begins at once. */
  constructor(mesh: DemoMesh) {
    this.#mesh = mesh;
    const client = mesh.client(mesh.certificates.clients.sleep);
    this.#agent = new https.Agent({
      ...secureOptions(client),
      keepAlive: true,
      maxSockets: KEEP_ALIVE_CLIENTS,
      maxCachedSessions: 0,
    });
    const keepAlive = async (): Promise<string> => {
      const seen = await this.#ask();
      this.#keepAliveRequests++;
      return seen;
    };
    const fresh = async (): Promise<string> => {
      const done = await mesh.send(client, getRequest('/load'));
      this.#freshRequests++;
      return clientAsSeen(done);
    };
    const kept = Array.from({ length: KEEP_ALIVE_CLIENTS }, () => this.#loop(keepAlive));
    this.#loops = [...kept, this.#loop(fresh)];
  }

  /** Lets the requests under way end. */
  async stop(): Promise<LoadResult> {
    this.#isStopped = true;
    await Promise.all(this.#loops);
    this.#agent.destroy();
    return {
      keepAliveRequests: this.#keepAliveRequests,
      keepAliveConnections: this.#keepAliveConnections,
      freshRequests: this.#freshRequests,
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
      // Whoever answers without waiting must not keep the event loop from everybody else.
      await new Promise(setImmediate);
    }
  }

  #fail(why: string): void {
    this.#failed++;
    if (this.#firstFailure === '') this.#firstFailure = why;
  }

  /** One request on a connection that is kept. */
  #ask(): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const { host, ports, signal } = this.#mesh;
    const request = https.get({ agent: this.#agent, host, port: ports.intercept, path: '/load', signal });
    request.setTimeout(WAIT_MS, () => request.destroy(new Error(`no answer within ${WAIT_MS} ms`)));
    request.on('error', reject);
    request.on('response', (response) => {
      if (!request.reusedSocket) this.#keepAliveConnections++;
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
