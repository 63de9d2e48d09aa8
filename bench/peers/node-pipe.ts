/** The least that Node can do for TCP: a tls.Server whose connections are piped to the app. It ends with its input. */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream';
import { createServer } from 'node:tls';
import { setting } from './settings.ts';
import { rememberClient } from './xfcc.ts';

const appPort = Number(setting('BENCH_APP_PORT'));
const ownUri = setting('BENCH_OWN_URI');

const server = createServer(
  {
    cert: readFileSync(setting('BENCH_CERTIFICATE')),
    key: readFileSync(setting('BENCH_KEY')),
    ca: readFileSync(setting('BENCH_ROOTS')),
    requestCert: true,
    rejectUnauthorized: true,
  },
  (downstream) => {
    rememberClient(downstream, ownUri);
    const upstream = connect(appPort, '127.0.0.1');
    // Pipeline destroys both ends on an error of either; there is nothing else to do about it.
    pipeline(downstream, upstream, downstream, () => undefined);
  },
);
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ ready: true, port })}\n`);
});
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();
