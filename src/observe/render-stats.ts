/**
 * Envoy's `/stats` (text, JSON, `filter`, `usedonly`) and `/stats/prometheus`, rendered when asked for.
 *
 * prom-client is loaded with the first scrape: a sidecar that nobody scrapes does not pay for it.
 */
import { createContext, Script } from 'node:vm';
import { collectStats, trafficLabelsOf } from './collect-stats.ts';
import type { Sample, StatsInput } from './collect-stats.ts';
import type { CounterValues } from './counters.ts';
import { ISTIO_DURATION } from './metric-names.ts';
import { DURATION_BUCKETS_MS } from './traffic-counters.ts';

/** What an endpoint answers. */
export interface StatsAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

const TEXT = 'text/plain; charset=utf-8';
/** How long a filter may take over all names: the caller's expression may backtrack without end. */
const FILTER_TIMEOUT_MS = 250;
const MAX_FILTER_LENGTH = 256;

/** Answers `/stats` with the query of Envoy. */
export async function answerStats(input: StatsInput, query: URLSearchParams): Promise<StatsAnswer> {
  const format = query.get('format') ?? 'text';
  const usedOnly = query.has('usedonly');
  if (format === 'prometheus') {
    const body = await renderPrometheus(input, usedOnly);
    return { status: 200, contentType: TEXT, body };
  }
  if (format !== 'text' && format !== 'json')
    return {
      status: 400,
      contentType: TEXT,
      body: `usage: /stats?format=text|json|prometheus, not "${format}"\n`,
    };
  let samples = collectStats(input).filter(
    (sample) => sample.stat !== '' && (!usedOnly || sample.value !== 0),
  );
  const filter = query.get('filter');
  if (filter !== null) {
    const kept = filterNames(
      samples.map((sample) => sample.stat),
      filter,
    );
    if (typeof kept === 'string') return { status: 400, contentType: TEXT, body: `${kept}\n` };
    samples = samples.filter((_, at) => kept[at] === true);
  }
  samples.sort((a, b) => (a.stat < b.stat ? -1 : a.stat > b.stat ? 1 : 0));
  if (format === 'json') {
    const stats = samples.map((sample) => ({ name: sample.stat, value: sample.value }));
    return { status: 200, contentType: 'application/json', body: `${JSON.stringify({ stats })}\n` };
  }
  return {
    status: 200,
    contentType: TEXT,
    body: samples.map((sample) => `${sample.stat}: ${sample.value}\n`).join(''),
  };
}

/** Which names match, or what is wrong with the expression. */
function filterNames(names: readonly string[], filter: string): boolean[] | string {
  if (filter.length > MAX_FILTER_LENGTH) return 'Cannot filter: the expression is too long';
  let pattern: RegExp;
  try {
    pattern = new RegExp(filter);
  } catch {
    return `Cannot filter: "${filter}" is not a regular expression`;
  }
  try {
    // In a context of its own only because that is how V8 is told to give up after a while.
    const context = createContext({ names, pattern });
    const script = new Script('names.map((name) => pattern.test(name))');
    const kept: unknown = script.runInContext(context, { timeout: FILTER_TIMEOUT_MS });
    return Array.from(Object(kept), Boolean);
  } catch {
    return `Cannot filter: "${filter}" takes too long; use a simpler expression`;
  }
}

/** The Prometheus text format (version 0.0.4). */
export async function renderPrometheus(input: StatsInput, usedOnly = false): Promise<string> {
  const { Counter, Gauge, Histogram, Registry } = await import('prom-client');
  const registry = new Registry();
  for (const [metric, samples] of families(collectStats(input), usedOnly)) {
    const first = samples[0]!;
    const options = {
      name: metric,
      help: first.help,
      // One family may have series with labels of their own.
      labelNames: [...new Set(samples.flatMap((sample) => Object.keys(sample.labels)))],
      registers: [registry],
    };
    if (first.type === 'gauge') {
      const gauge = new Gauge(options);
      for (const sample of samples) gauge.set({ ...sample.labels }, sample.value);
    } else {
      const counter = new Counter(options);
      for (const sample of samples) counter.inc({ ...sample.labels }, sample.value);
    }
  }

  /** prom-client's own histogram can only observe; ours was observed already. */
  class CountedHistogram extends Histogram {
    // prom-client reads this one for the text format and `get` for all else.
    getForPromString(): Promise<object> {
      const values = histogramValues(input.counters);
      return Promise.resolve({ ...ISTIO_DURATION, name: ISTIO_DURATION.metric, type: 'histogram', values });
    }
  }
  if (Object.keys(input.counters.requests).length > 0)
    registry.registerMetric(
      new CountedHistogram({ name: ISTIO_DURATION.metric, help: ISTIO_DURATION.help, registers: [] }),
    );
  return registry.metrics();
}

function families(samples: readonly Sample[], usedOnly: boolean): Map<string, Sample[]> {
  const result = new Map<string, Sample[]>();
  for (const sample of samples) {
    if (usedOnly && sample.value === 0) continue;
    const family = result.get(sample.metric);
    if (family === undefined) result.set(sample.metric, [sample]);
    else family.push(sample);
  }
  return result;
}

interface HistogramValue {
  readonly metricName: string;
  readonly labels: Record<string, string | number>;
  readonly value: number;
}

function histogramValues(counters: CounterValues): HistogramValue[] {
  const values: HistogramValue[] = [];
  for (const pair of Object.values(counters.requests)) {
    const labels = trafficLabelsOf(pair.labels);
    let cumulative = 0;
    for (const [at, count] of pair.durationBuckets.entries()) {
      cumulative += count;
      const le = DURATION_BUCKETS_MS[at] ?? '+Inf';
      values.push({
        metricName: `${ISTIO_DURATION.metric}_bucket`,
        labels: { ...labels, le },
        value: cumulative,
      });
    }
    values.push({ metricName: `${ISTIO_DURATION.metric}_sum`, labels, value: pair.durationSumMs });
    values.push({ metricName: `${ISTIO_DURATION.metric}_count`, labels, value: pair.durationCount });
  }
  return values;
}
