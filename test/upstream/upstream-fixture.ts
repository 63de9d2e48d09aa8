/** What `ClusterUpstream` needs around it, and an exchange that only notes what happens to it. */
import type { Socket } from 'node:net';
import type { DialAttempt, Dialer, DialTarget } from '../../src/core/dialer.ts';
import { DEFAULT_LIMITS } from '../../src/core/limits.ts';
import type { Limits } from '../../src/core/limits.ts';
import type { ClientExchange, ResponseHead, UpstreamFailure, UpstreamSink } from '../../src/http/exchange.ts';
import { Http1RequestHead } from '../../src/http/request-head.ts';
import { Counters } from '../../src/observe/counters.ts';
import type { Log } from '../../src/observe/log.ts';
import { createOutboundTls } from '../../src/tls/outbound-tls.ts';
import type { OutboundTls } from '../../src/tls/outbound-tls.ts';
import { ClusterUpstream } from '../../src/upstream/cluster-upstream.ts';
import type { UpstreamEndpoint } from '../../src/upstream/cluster-upstream.ts';
import { EndpointPools } from '../../src/upstream/endpoint-pools.ts';
import { UpstreamDialer } from '../../src/upstream/upstream-dialer.ts';

export const CLUSTER = 'outbound|80||httpbin.foo.svc.cluster.local';

export interface LogLine {
  readonly code: string;
  readonly fields: Record<string, unknown>;
}

export interface World {
  readonly pools: EndpointPools;
  readonly tls: OutboundTls;
  readonly counters: Counters;
  readonly logs: LogLine[];
  readonly bugs: unknown[];
  readonly log: Log;
  readonly upstream: (endpoints: readonly UpstreamEndpoint[], clock?: () => number) => ClusterUpstream;
}

export interface WorldOptions {
  readonly dialer?: Dialer;
  readonly limits?: Partial<Limits>;
  readonly nowMs?: () => number;
}

export function makeWorld(options: WorldOptions = {}): World {
  const logs: LogLine[] = [];
  const bugs: unknown[] = [];
  const note = (code: string, fields: Record<string, unknown>): void => {
    logs.push({ code, fields });
  };
  const log = { trace: note, debug: note, info: note, warn: note, error: note, fatal: note } as never;
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const onBug = (thrown: unknown): void => {
    bugs.push(thrown);
  };
  const tls = createOutboundTls({ nowMs: options.nowMs ?? Date.now, onBug });
  const dialer = options.dialer ?? new UpstreamDialer({ tls, limits: () => limits, log });
  const counters = new Counters();
  const pools = new EndpointPools({ dialer, tls, counters, log, onBug });
  pools.setLimits(limits);
  const upstream = (endpoints: readonly UpstreamEndpoint[], clock?: () => number): ClusterUpstream =>
    new ClusterUpstream(
      { name: CLUSTER, endpoints },
      { pools, log, counters: counters.cluster(CLUSTER), ...(clock === undefined ? {} : { clock }) },
    );
  return { pools, tls, counters, logs, bugs, log, upstream };
}

export function plain(port: number, weight = 1, host = '127.0.0.1'): UpstreamEndpoint {
  return { target: { host, port, cluster: CLUSTER }, weight };
}

function getRequest(): Http1RequestHead {
  const head = new Http1RequestHead('GET', '/', '1.1');
  head.path = '/';
  head.authority = 'httpbin';
  return head;
}

/** Sends GET and keeps what comes of it. */
export class NotingSink implements UpstreamSink {
  exchange: ClientExchange | null = null;
  status = 0;
  body = '';
  readonly ended: Promise<UpstreamFailure | null>;
  readonly #resolve: (failure: UpstreamFailure | null) => void;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<UpstreamFailure | null>();
    this.ended = promise;
    this.#resolve = resolve;
  }

  onReady(exchange: ClientExchange): void {
    this.exchange = exchange;
    exchange.sendHead(getRequest(), true);
  }

  onInterim(): void {
    throw new Error('no interim answer was asked for');
  }

  onAnswerHead(head: ResponseHead, endStream: boolean): void {
    this.status = head.status;
    if (endStream) this.#resolve(null);
  }

  onAnswerData(chunk: Buffer): void {
    this.body += chunk.toString('latin1');
  }

  onAnswerEnd(): void {
    this.#resolve(null);
  }

  onFailed(failure: UpstreamFailure): void {
    this.#resolve(failure);
  }

  onUpstreamWritable(): void {
    // A GET has nothing more to send.
  }
}

/** Never connects by itself: the test answers each dial. */
export class HandDialer implements Dialer {
  readonly dials: { readonly target: DialTarget; readonly fail: () => void; aborted: boolean }[] = [];

  dial(
    target: DialTarget,
    _onConnected: (socket: Socket) => void,
    onFailed: (error: Error) => void,
  ): DialAttempt {
    const dial = { target, aborted: false, fail: () => onFailed(new Error('refused by the test')) };
    this.dials.push(dial);
    return {
      abort: () => {
        dial.aborted = true;
      },
    };
  }
}
