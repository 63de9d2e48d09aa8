import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { isOwnHost } from '../../src/observe/admin-access.ts';
import {
  ADMIN_MAX_BODY_BYTES,
  ADMIN_MAX_CONNECTIONS,
  jsonAnswer,
  openAdminServer,
  textAnswer,
} from '../../src/observe/admin-server.ts';
import type { AdminServer, EndpointTable } from '../../src/observe/admin-server.ts';

const called: string[] = [];
const endpoints: EndpointTable = {
  '/ready': { method: 'GET', help: 'whether it is ready', answer: () => textAnswer(200, 'LIVE\n') },
  '/certs': { method: 'GET', help: 'certificates', answer: () => jsonAnswer({ certificates: [] }) },
  '/echo': { method: 'GET', help: 'the query', answer: ({ query }) => textAnswer(200, query.get('a') ?? '') },
  '/logging': {
    method: 'POST',
    help: 'sets levels',
    answer: ({ body }) => {
      called.push(body.toString());
      return textAnswer(200, 'done');
    },
  },
  '/throws': {
    method: 'GET',
    help: 'fails',
    answer: () => {
      throw new Error('secret detail');
    },
  },
  '/rejects': { method: 'GET', help: 'fails', answer: () => Promise.reject(new Error('secret detail')) },
};

/** Sends bytes as they are and gives all that came until the end. */
async function raw(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.setEncoding('latin1');
  let answer = '';
  socket.on('data', (chunk: string) => (answer += chunk));
  socket.on('error', () => {});
  socket.write(text, 'latin1');
  await once(socket, 'close');
  return answer;
}

function request(line: string, ...headers: string[]): string {
  return `${line} HTTP/1.1\r\n${headers.map((header) => `${header}\r\n`).join('')}connection: close\r\n\r\n`;
}

const statusOf = (answer: string): number => Number(answer.slice(9, 12));

describe('admin server', () => {
  let server: AdminServer;
  let open: AdminServer;
  const logged: string[] = [];
  before(async () => {
    const log = {
      debugEnabled: false,
      error: (code: string) => void logged.push(code),
      warn() {},
      info() {},
      debug() {},
    };
    server = await openAdminServer({ bind: '127.0.0.1', port: 0, endpoints, access: 'admin', log });
    open = await openAdminServer({ bind: '127.0.0.1', port: 0, endpoints, access: 'open' });
  });
  after(() => Promise.all([server.close(), open.close()]));
  const ask = (text: string): Promise<string> => raw(server.address().port, text);

  it('answers an endpoint and lists all of them at /', async () => {
    const answer = await ask(request('GET /ready', 'host: localhost:15000'));
    assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
    assert.match(answer, /\r\n\r\nLIVE\n$/);
    const index = await ask(request('GET /', 'host: 127.0.0.1'));
    for (const path of Object.keys(endpoints)) assert.ok(index.includes(path));
  });

  it('passes the query and answers HEAD without a body', async () => {
    assert.match(await ask(request('GET /echo?a=%2Fx%20y', 'host: localhost')), /\r\n\r\n\/x y$/);
    const head = await ask(request('HEAD /ready', 'host: localhost'));
    assert.match(head, /content-length: 5\r\n/);
    assert.match(head, /\r\n\r\n$/);
  });

  const cases: readonly (readonly [string, number, string])[] = [
    ['the name of another host (DNS rebinding)', 403, request('GET /certs', 'host: attacker.example:15000')],
    ['a name that begins like loopback', 403, request('GET /certs', 'host: 127.0.0.1.attacker.example')],
    ['a name that ends like localhost', 403, request('GET /certs', 'host: evil-localhost')],
    ['user information before the host', 403, request('GET /certs', 'host: localhost@attacker.example')],
    ['an empty Host', 403, request('GET /certs', 'host: ')],
    ['another address', 403, request('GET /certs', 'host: 10.0.0.1:15000')],
    ['a foreign Host on an unknown path', 403, request('GET /nothing', 'host: attacker.example')],
    ['a second Host', 403, request('GET /certs', 'host: localhost', 'host: attacker.example')],
    ['no Host in HTTP/1.1', 400, request('GET /certs')],
    [
      'another origin',
      403,
      request('POST /logging', 'host: localhost', 'origin: http://attacker.example', 'content-length: 0'),
    ],
    [
      'an opaque origin',
      403,
      request('POST /logging', 'host: localhost', 'origin: null', 'content-length: 0'),
    ],
    [
      'another port of this host as origin',
      403,
      request('GET /certs', 'host: localhost:15000', 'origin: http://localhost:3000'),
    ],
    ['a cross-site fetch', 403, request('GET /certs', 'host: localhost', 'sec-fetch-site: cross-site')],
    ['a same-site fetch', 403, request('GET /certs', 'host: localhost', 'sec-fetch-site: same-site')],
    ['an absolute-form target', 400, request('GET http://attacker.example/certs', 'host: localhost')],
    ['a target with two slashes', 400, request('GET //attacker.example/certs', 'host: localhost')],
    ['an unknown path', 404, request('GET /nothing', 'host: localhost')],
    ['a name of Object.prototype', 404, request('GET /constructor', 'host: localhost')],
    ['GET where state changes', 405, request('GET /logging', 'host: localhost')],
    ['POST where none does', 405, request('POST /certs', 'host: localhost', 'content-length: 0')],
    [
      'a body that is too large',
      413,
      `${request('POST /logging', 'host: localhost', `content-length: ${ADMIN_MAX_BODY_BYTES + 1}`)}${'x'.repeat(ADMIN_MAX_BODY_BYTES + 1)}`,
    ],
    ['a head that is too large', 431, request('GET /certs', 'host: localhost', `x: ${'y'.repeat(20_000)}`)],
  ];
  for (const [what, status, text] of cases) {
    it(`refuses ${what} with ${status}`, async () => {
      const answer = await ask(text);
      assert.equal(statusOf(answer), status, answer);
      assert.ok(!answer.includes('certificates'));
      assert.deepEqual(called, []);
    });
  }

  it('names the allowed method', async () => {
    assert.match(await ask(request('GET /logging', 'host: localhost')), /\r\nallow: POST\r\n/);
  });

  const own = [
    'localhost',
    'localhost:15000',
    'LOCALHOST',
    '127.0.0.1',
    '127.9.9.9:1',
    '[::1]',
    '[::1]:15000',
  ];
  for (const host of own) {
    it(`takes Host "${host}"`, async () => {
      assert.equal(statusOf(await ask(request('GET /certs', `host: ${host}`))), 200);
    });
  }

  it('takes the address at which it was reached, and HTTP/1.0 without Host', async () => {
    assert.equal(isOwnHost('10.0.0.2:15000', '10.0.0.2'), true);
    assert.equal(isOwnHost('10.0.0.2:15000', '::ffff:10.0.0.2'), true);
    assert.equal(isOwnHost('10.0.0.3:15000', '10.0.0.2'), false);
    assert.equal(isOwnHost('2130706433', '10.0.0.2'), false);
    assert.equal(statusOf(await ask('GET /ready HTTP/1.0\r\n\r\n')), 200);
  });

  it('changes state by a POST of the same origin', async () => {
    const text = request(
      'POST /logging',
      'host: localhost:1',
      'origin: http://localhost:1',
      'content-length: 3',
    );
    assert.equal(statusOf(await ask(`${text}abc`)), 200);
    assert.deepEqual(called.splice(0), ['abc']);
  });

  for (const path of ['/throws', '/rejects']) {
    it(`answers 500 without the reason when ${path}`, async () => {
      const answer = await ask(request(`GET ${path}`, 'host: localhost'));
      assert.equal(statusOf(answer), 500);
      assert.doesNotMatch(answer, /secret detail|at /);
      assert.deepEqual(logged.splice(0), ['bug']);
    });
  }

  it('answers under any name where nothing secret is served, but never to another origin', async () => {
    const { port } = open.address();
    assert.equal(statusOf(await raw(port, request('GET /ready', 'host: httpbin.foo:15021'))), 200);
    assert.equal(
      statusOf(
        await raw(port, request('GET /ready', 'host: httpbin.foo', 'origin: http://attacker.example')),
      ),
      403,
    );
  });

  it('refuses connections beyond its bound and serves again when they end', async () => {
    const { port } = open.address();
    const sockets: Socket[] = [];
    for (let i = 0; i < ADMIN_MAX_CONNECTIONS; i++) {
      const socket = connect(port, '127.0.0.1');
      await once(socket, 'connect');
      sockets.push(socket);
    }
    const refused = connect(port, '127.0.0.1');
    refused.on('error', () => {});
    await once(refused, 'close');
    const ended = sockets.map((socket) => once(socket, 'close'));
    for (const socket of sockets) socket.destroy();
    await Promise.all(ended);
    let status = 0;
    while (status !== 200) status = statusOf(await raw(port, request('GET /ready', 'host: x')));
    assert.equal(status, 200);
  });

  it('ends open connections when it closes and rejects a port that is taken', async () => {
    const one = await openAdminServer({ bind: '127.0.0.1', port: 0, endpoints, access: 'admin' });
    const { port } = one.address();
    await assert.rejects(openAdminServer({ bind: '127.0.0.1', port, endpoints, access: 'admin' }), {
      code: 'EADDRINUSE',
    });
    const idle = connect(port, '127.0.0.1');
    await once(idle, 'connect');
    const closed = once(idle, 'close');
    idle.on('error', () => {});
    await one.close();
    await one.close();
    await closed;
  });
});
