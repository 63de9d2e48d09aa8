/** What our rbac logger says at debug level, by request: which rule let a request through is told nowhere else. */
import { type Log, SILENT_LOG } from '../../src/observe/log.ts';
import type { Loggers } from '../../src/observe/loggers.ts';

export class DecisionLog {
  readonly #lines = new Map<string, string[]>();

  /** `enforced allowed, matched policy ns[foo]-policy[p]-rule[0]` and the like, in order. */
  linesOf(requestId: string): readonly string[] {
    return this.#lines.get(requestId) ?? [];
  }

  clear(): void {
    this.#lines.clear();
  }

  loggers(): Loggers {
    const rbac: Log = {
      ...SILENT_LOG,
      debugEnabled: true,
      debug: (_code, fields, message) => {
        const id = String(fields['requestId']);
        const lines = this.#lines.get(id);
        if (lines === undefined) this.#lines.set(id, [message]);
        else lines.push(message);
      },
    };
    return {
      get: (name) => (name === 'rbac' ? rbac : SILENT_LOG),
      levels: () => {
        throw new Error('nobody asks a comparison for its log levels');
      },
      setLevel: () => {},
      setAllLevels: () => {},
      applyQuery: () => ({ ok: false, text: '' }),
      close: () => {},
    };
  }
}
