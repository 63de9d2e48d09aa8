/** Questions to one data half and the answers they wait for. */
import type { DataHalf } from './data-half.ts';
import type { FromData, ToData } from './messages.ts';

/** A data half that does not answer in this time is taken for dead; starting a thread is part of it. */
export const ANSWER_TIMEOUT_MS = 30_000;

/** The data half cannot answer any more. */
export class DataHalfGone extends Error {
  constructor(why: string) {
    super(why);
    this.name = 'DataHalfGone';
  }
}

interface Waiting {
  readonly resolve: (answer: FromData) => void;
  readonly reject: (gone: DataHalfGone) => void;
  readonly timer: NodeJS.Timeout;
}

export class DataConversation {
  readonly half: DataHalf;
  readonly #waiting = new Map<string, Waiting>();
  #gone: DataHalfGone | null = null;

  constructor(half: DataHalf) {
    this.half = half;
  }

  tell(message: ToData): void {
    if (this.#gone === null) this.half.send(message);
  }

  /** Settles with the answer to this message; rejects with `DataHalfGone` if none will come or none came in time. */
  ask(message: ToData, timeoutMs: number = ANSWER_TIMEOUT_MS): Promise<FromData> {
    if (this.#gone !== null) return Promise.reject(this.#gone);
    const key = questionKey(message);
    const { promise, resolve, reject } = Promise.withResolvers<FromData>();
    const timer = setTimeout(() => {
      this.#waiting.delete(key);
      reject(new DataHalfGone(`it did not answer "${message.kind}" in ${timeoutMs} ms`));
    }, timeoutMs);
    this.#waiting.set(key, { resolve, reject, timer });
    try {
      this.half.send(message);
    } catch (thrown) {
      this.#waiting.delete(key);
      clearTimeout(timer);
      return Promise.reject(thrown);
    }
    return promise;
  }

  /** Takes what came from the data half; false: it answers nothing that was asked. */
  hear(message: FromData): boolean {
    const key = answerKey(message);
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return false;
    this.#waiting.delete(key);
    clearTimeout(waiting.timer);
    waiting.resolve(message);
    return true;
  }

  /** Nothing will be answered any more. */
  end(why: string): void {
    this.#gone ??= new DataHalfGone(why);
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(this.#gone);
    }
    this.#waiting.clear();
  }
}

function questionKey(message: ToData): string {
  switch (message.kind) {
    case 'snapshot':
      return `snapshot ${message.snapshot.generation}`;
    case 'secret':
      return `secret ${message.secret.version}`;
    case 'report':
      return `report ${message.id}`;
    case 'listen':
    case 'drain':
      return message.kind;
    case 'tls-files':
    case 'key-sets':
    case 'levels':
    case 'reopen-logs':
    case 'stop':
      throw new TypeError(`"${message.kind}" is told and not asked`);
    default:
      return message satisfies never;
  }
}

function answerKey(message: FromData): string {
  switch (message.kind) {
    case 'snapshot-applied':
    case 'snapshot-refused':
      return `snapshot ${message.generation}`;
    case 'secret-installed':
    case 'secret-refused':
      return `secret ${message.version}`;
    case 'listening':
    case 'listen-failed':
      return 'listen';
    case 'report':
      return `report ${message.id}`;
    case 'drained':
      return 'drain';
    default:
      return message satisfies never;
  }
}
