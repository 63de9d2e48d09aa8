/** `postern wait`: returns when the sidecar is ready, for start order and health checks. */
import { setTimeout as delay } from 'node:timers/promises';
import { parseDuration } from '../config/duration.ts';
import { monotonicMs } from '../core/clock.ts';
import { messageOf } from '../core/errors.ts';
import type { Command } from './command.ts';
import { EXIT_NEGATIVE, EXIT_OK, textFlag, UsageError } from './command.ts';

const DEFAULT_URL = 'http://127.0.0.1:15021/healthz/ready';
const POLL_INTERVAL_MS = 200;
/** One question may hang no longer than this. */
const QUESTION_TIMEOUT_MS = 2_000;

export const waitCommand: Command = {
  name: 'wait',
  summary: 'Wait until the sidecar is ready',
  usage: '[--url URL] [--timeout 60s]',
  example: 'postern wait --timeout 30s && exec ./app',
  takesPositionals: false,
  flags: {
    url: { type: 'string', value: 'URL', meaning: `what to ask; default ${DEFAULT_URL}` },
    timeout: { type: 'string', value: 'DURATION', meaning: 'how long to wait; default 60s' },
  },
  async run(parsed) {
    const url = textFlag(parsed, 'url') ?? DEFAULT_URL;
    if (!/^https?:$/.test(URL.parse(url)?.protocol ?? ''))
      throw new UsageError(`Cannot use --url "${url}": give an http URL`);
    const text = textFlag(parsed, 'timeout') ?? '60s';
    const timeoutMs = parseDuration(text);
    if (timeoutMs === null)
      throw new UsageError(`Cannot use --timeout "${text}": give a duration such as 60s`);
    // The library is loaded by this command only: a sidecar with certificates from files needs no HTTP client.
    const { request } = await import('undici');
    const endsAt = monotonicMs() + timeoutMs;
    let reason = 'nothing answered';
    let isAnswered = false;
    do {
      const left = Math.ceil(Math.max(1, Math.min(QUESTION_TIMEOUT_MS, endsAt - monotonicMs())));
      try {
        const answer = await request(url, {
          headersTimeout: left,
          bodyTimeout: left,
          signal: AbortSignal.timeout(left),
        });
        const body = (await answer.body.text()).trim();
        if (answer.statusCode === 200) return EXIT_OK;
        reason = body === '' ? `status ${answer.statusCode}` : body;
        isAnswered = true;
      } catch (thrown) {
        // A last question that our own deadline cut short says less than the answer before it.
        if (!isAnswered || monotonicMs() < endsAt) reason = messageOf(thrown);
      }
      await delay(Math.max(0, Math.min(POLL_INTERVAL_MS, endsAt - monotonicMs())));
    } while (monotonicMs() < endsAt);
    process.stderr.write(`postern: not ready after ${text}: ${reason}\n`);
    return EXIT_NEGATIVE;
  },
};
