/**
 * `%START_TIME%`: Envoy's default form and its strftime subset, always UTC, with the slow part made once a second.
 */

type TimeText = (atMs: number) => string;

function two(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}

function three(value: number): string {
  return value < 10 ? `00${value}` : value < 100 ? `0${value}` : String(value);
}

/** `2026-01-02T03:04:05.678Z`. */
export function createIsoTime(): TimeText {
  let lastMs = -1;
  let lastSecond = -1;
  let prefix = '';
  let text = '';
  return (atMs) => {
    const ms = Math.floor(atMs);
    if (ms === lastMs) return text;
    const second = Math.floor(ms / 1000);
    if (second !== lastSecond) {
      lastSecond = second;
      prefix = new Date(second * 1000).toISOString().slice(0, 20);
    }
    lastMs = ms;
    text = `${prefix}${three(ms - second * 1000)}Z`;
    return text;
  };
}

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

function hour12(date: Date): number {
  return date.getUTCHours() % 12 || 12;
}

function dayOfYear(date: Date): number {
  return Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / 86_400_000) + 1;
}

const SPECIFIERS: Readonly<Record<string, (date: Date) => string>> = {
  Y: (date) => String(date.getUTCFullYear()),
  y: (date) => two(date.getUTCFullYear() % 100),
  m: (date) => two(date.getUTCMonth() + 1),
  d: (date) => two(date.getUTCDate()),
  e: (date) => String(date.getUTCDate()).padStart(2, ' '),
  H: (date) => two(date.getUTCHours()),
  I: (date) => two(hour12(date)),
  p: (date) => (date.getUTCHours() < 12 ? 'AM' : 'PM'),
  M: (date) => two(date.getUTCMinutes()),
  S: (date) => two(date.getUTCSeconds()),
  F: (date) => date.toISOString().slice(0, 10),
  T: (date) => date.toISOString().slice(11, 19),
  R: (date) => date.toISOString().slice(11, 16),
  D: (date) => `${two(date.getUTCMonth() + 1)}/${two(date.getUTCDate())}/${two(date.getUTCFullYear() % 100)}`,
  j: (date) => three(dayOfYear(date)),
  a: (date) => DAYS[date.getUTCDay()]!.slice(0, 3),
  A: (date) => DAYS[date.getUTCDay()]!,
  b: (date) => MONTHS[date.getUTCMonth()]!.slice(0, 3),
  h: (date) => MONTHS[date.getUTCMonth()]!.slice(0, 3),
  B: (date) => MONTHS[date.getUTCMonth()]!,
  s: (date) => String(Math.floor(date.getTime() / 1000)),
  f: (date) => `${three(date.getUTCMilliseconds())}000000`,
  '1f': (date) => three(date.getUTCMilliseconds()).slice(0, 1),
  '2f': (date) => three(date.getUTCMilliseconds()).slice(0, 2),
  '3f': (date) => three(date.getUTCMilliseconds()),
  '6f': (date) => `${three(date.getUTCMilliseconds())}000`,
  '9f': (date) => `${three(date.getUTCMilliseconds())}000000`,
  E3S: (date) => `${two(date.getUTCSeconds())}.${three(date.getUTCMilliseconds())}`,
  E6S: (date) => `${two(date.getUTCSeconds())}.${three(date.getUTCMilliseconds())}000`,
  z: () => '+0000',
  Ez: () => '+00:00',
  Z: () => 'UTC',
  n: () => ' ',
  t: () => ' ',
  '%': () => '%',
};

export type TimeFormat =
  | { readonly ok: true; readonly text: TimeText }
  | { readonly ok: false; readonly error: string };

/** Compiles the argument of `%START_TIME(…)%`; a specifier it does not know is an error. */
export function compileTimeFormat(format: string): TimeFormat {
  const parts: ((date: Date) => string)[] = [];
  const pattern = /%(\df|E\dS|Ez|[A-Za-z%])|%|[^%]+/g;
  for (const [whole, specifier] of format.matchAll(pattern)) {
    if (!whole.startsWith('%')) {
      parts.push(() => whole);
      continue;
    }
    const part =
      specifier !== undefined && Object.hasOwn(SPECIFIERS, specifier) ? SPECIFIERS[specifier] : undefined;
    if (part === undefined) return { ok: false, error: `unknown time specifier "%${specifier ?? ''}"` };
    parts.push(part);
  }
  let lastMs = -1;
  let text = '';
  return {
    ok: true,
    text(atMs) {
      if (atMs === lastMs) return text;
      const date = new Date(atMs);
      lastMs = atMs;
      text = '';
      for (const part of parts) text += part(date);
      return text;
    },
  };
}
