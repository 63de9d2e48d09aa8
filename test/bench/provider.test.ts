/** The provider of the ext-authz scenario, as a process of its own and asked as sidecars ask it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:http2';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { CHECKED_FIELD, DENIED_BODY, DENY_FIELD } from '../../bench/load/provider-answers.ts';
import { CheckResponseSchema } from '../../src/wire/gen/envoy/service/auth/v3/external_auth_pb.ts';

const FILE = join(import.meta.dirname, '..', '..', 'bench', 'load', 'provider.ts');
const CHECK = '/envoy.service.auth.v3.Authorization/Check';

/** Runs while `use` does, and ends with its standard input. */
async function withProvider(kind: string, use: (port: number) => Promise<void>): Promise<void> {
  const child = spawn(process.execPath, [FILE, kind], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  try {
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    await use((JSON.parse(line.toString()) as { port: number }).port);
  } finally {
    child.stdin.end();
    assert.deepEqual(await ended, [0, null]);
  }
}

interface GrpcAnswer {
  readonly status: unknown;
  readonly message: Buffer;
}

async function call(port: number, path: string, message: string): Promise<GrpcAnswer> {
  const session = connect(`http://127.0.0.1:${port}`);
  try {
    const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc' });
    let status: unknown = null;
    stream.on('trailers', (trailers) => {
      status = trailers['grpc-status'];
    });
    stream.end(message);
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    return { status, message: Buffer.concat(chunks) };
  } finally {
    session.destroy();
  }
}

describe('bench provider', () => {
  it('allows over gRPC, with a field for the app, but for the field that denies', async () => {
    await withProvider('grpc', async (port) => {
      const allowed = await call(port, CHECK, 'anything');
      assert.equal(allowed.status, '0');
      assert.equal(allowed.message.readUInt32BE(1), allowed.message.length - 5);
      const ok = fromBinary(CheckResponseSchema, allowed.message.subarray(5)).httpResponse;
      assert.equal(ok.case, 'okResponse');
      assert.deepEqual(
        ok.value.headers.map(({ header }) => [header?.key, header?.value]),
        [[CHECKED_FIELD.name, CHECKED_FIELD.value]],
      );
      const denied = await call(port, CHECK, `of ${DENY_FIELD} something`);
      const no = fromBinary(CheckResponseSchema, denied.message.subarray(5));
      assert.equal(no.status?.code, 7);
      assert.equal(no.httpResponse.case, 'deniedResponse');
      assert.equal(no.httpResponse.value.body, DENIED_BODY);
      assert.equal((await call(port, '/other', '')).status, '12');
    });
  });

  it('says the same over HTTP', async () => {
    await withProvider('http', async (port) => {
      const url = `http://127.0.0.1:${port}/any`;
      const allowed = await fetch(url);
      assert.equal(allowed.status, 200);
      assert.equal(allowed.headers.get(CHECKED_FIELD.name), CHECKED_FIELD.value);
      const denied = await fetch(url, { headers: { [DENY_FIELD]: 'yes' } });
      assert.deepEqual([denied.status, await denied.text()], [403, DENIED_BODY]);
    });
  });
});
