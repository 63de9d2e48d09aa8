/** One attack on the request path: what is sent, what comes back, and the exact bytes that the app saw. */
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { startProxy } from './proxy-fixture.ts';
import type { ProxyOptions } from './proxy-fixture.ts';

/** Sends `bytes` and then FIN; gives all that came back and all that the app saw. */
export async function attack(
  bytes: string,
  options: Partial<ProxyOptions> = {},
): Promise<{ answer: string; seen: string; code: string; requests: number }> {
  await using upstream = await startRecordingUpstream();
  await using proxy = await startProxy({ upstreamPort: upstream.port, builtIn: false, ...options });
  using client = await proxy.connect();
  await client.write(bytes);
  client.end();
  const { bytes: answer } = await client.readToEnd();
  const code = proxy.entries.at(-1)?.responseCodeDetails ?? '';
  return { answer: answer.toString('latin1'), seen: upstream.text, code, requests: upstream.requests.length };
}

export function request(target: string, ...fields: string[]): string {
  return `GET ${target} HTTP/1.1\r\nHost: h\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n`;
}

export function post(fields: readonly string[], body: string): string {
  return `POST / HTTP/1.1\r\nHost: h\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n${body}`;
}
