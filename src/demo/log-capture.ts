/** A sidecar's log lines as the demo reads them: parsed, waited for, bounded. */
import { withDeadline } from './with-deadline.ts';

export interface LogLine {
  readonly code: string;
  readonly message: string;
  /** A field as text, '' if the line has none of that name. */
  field(name: string): string;
}

/** A wait looks back this far. */
const MAX_LINES = 200;

export class LogCapture {
  readonly #lines: LogLine[] = [];
  readonly #listeners = new Set<(line: LogLine) => void>();
  readonly #signal: AbortSignal;
  #lastTrouble = '';

  /** `signal` ends every wait. */
  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Where the sidecar writes. */
  readonly write = (text: string): void => {
    const line = parseLine(text);
    if (line === null) return;
    const level = line.field('level');
    if (level === 'warn' || level === 'error') this.#lastTrouble = troubleOf(line);
    this.#lines.push(line);
    if (this.#lines.length > MAX_LINES) this.#lines.shift();
    for (const listener of this.#listeners) listener(line);
  };

  /** What the newest line of a warning or an error says; '' if there was none. */
  get lastTrouble(): string {
    return this.#lastTrouble;
  }

  /** The newest line that fits, of those kept. */
  newest(fits: (line: LogLine) => boolean): LogLine | null {
    return this.#lines.findLast(fits) ?? null;
  }

  /** Hears every line from now on, until the answered function is called. */
  listen(listener: (line: LogLine) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The first line that fits, of those kept or still to come. */
  async waitFor(what: string, fits: (line: LogLine) => boolean): Promise<LogLine> {
    const known = this.#lines.find(fits);
    if (known !== undefined) return known;
    const { promise, resolve } = Promise.withResolvers<LogLine>();
    const end = this.listen((line) => {
      if (fits(line)) resolve(line);
    });
    try {
      return await withDeadline(promise, `log line ${what}`, { signal: this.#signal });
    } finally {
      end();
    }
  }
}

function troubleOf(line: LogLine): string {
  const why = line.field('why') || line.field('error');
  return `${line.code}: ${line.message}${why === '' ? '' : `: ${why}`}`;
}

function parseLine(text: string): LogLine | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const fields = new Map<string, unknown>(Object.entries(value));
  const field = (name: string): string => {
    const found = fields.get(name);
    return typeof found === 'string' || typeof found === 'number' ? String(found) : '';
  };
  return { code: field('code'), message: field('msg'), field };
}
