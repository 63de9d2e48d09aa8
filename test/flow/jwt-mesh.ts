/** A sidecar in this process whose RequestAuthentications are the test's, before an app that says what reached it. */
import { startEchoApp } from '../support/echo-app.ts';
import type { Echo, EchoApp } from '../support/echo-app.ts';
import type { HttpResponse } from '../support/http-response-reader.ts';
import { connectRaw } from '../support/raw-client.ts';
import { FlowMesh, service } from './flow-mesh.ts';
import type { InProcess } from './flow-mesh.ts';

/** Lets key sets come from this host. */
export const ALLOW_LOOPBACK = 'jwks: {allow: [127.0.0.0/8]}';

/** One rule a document: members of JWTRule as they are. */
export function requestAuthentication(...rules: readonly Readonly<Record<string, unknown>>[]): string {
  return [
    'apiVersion: security.istio.io/v1',
    'kind: RequestAuthentication',
    'metadata: {name: jwt, namespace: foo}',
    `spec: ${JSON.stringify({ jwtRules: rules })}`,
    '---',
    '',
  ].join('\n');
}

export interface JwtRequest {
  readonly method?: string;
  readonly target?: string;
  /** Whole lines. */
  readonly fields?: readonly string[];
}

export class JwtMesh implements AsyncDisposable {
  readonly app: EchoApp;
  readonly mesh: FlowMesh;
  readonly sidecar: InProcess;

  private constructor(app: EchoApp, mesh: FlowMesh, sidecar: InProcess) {
    this.app = app;
    this.mesh = mesh;
    this.sidecar = sidecar;
  }

  static async start(documents: string, settings = ''): Promise<JwtMesh> {
    const app = await startEchoApp();
    const mesh = await FlowMesh.create({
      appPort: app.port,
      documents: service('http', app.port) + documents,
      settings,
    });
    try {
      return new JwtMesh(app, mesh, await mesh.inProcess());
    } catch (thrown) {
      mesh[Symbol.dispose]();
      await app.close();
      throw thrown;
    }
  }

  /** Replaces the documents and waits until they are in force. */
  async setDocuments(documents: string): Promise<void> {
    const from = this.sidecar.logs.length;
    this.mesh.documents(service('http', this.app.port) + documents);
    await this.sidecar.waitForLog('reloaded', from);
  }

  async send({ fields = [], method = 'GET', target = '/' }: JwtRequest): Promise<HttpResponse> {
    using client = await connectRaw({ port: this.sidecar.port });
    const lines = [`${method} ${target} HTTP/1.1`, 'host: httpbin.foo', ...fields, '', ''];
    return await client.request(lines.join('\r\n'), method);
  }

  bearer(token: string): Promise<HttpResponse> {
    return this.send({ fields: [`authorization: Bearer ${token}`] });
  }

  /** What the app saw last. */
  last(): Echo | undefined {
    return this.app.seen.at(-1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sidecar.close();
    this.mesh[Symbol.dispose]();
    await this.app.close();
  }
}
