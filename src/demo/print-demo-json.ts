/** The demo as one JSON object on a line, for scripts; nothing else is printed. */
import type { DemoReporter } from './run-demo.ts';

export function createDemoJsonPrinter(stream: NodeJS.WritableStream): DemoReporter {
  return {
    started() {},
    notStarted() {},
    scenario() {},
    checked() {},
    finished({ ok, checks }) {
      const plain = checks.map((check) => ({
        name: check.name,
        expected: check.expected,
        got: check.got,
        ok: check.ok,
      }));
      stream.write(`${JSON.stringify({ ok, checks: plain })}\n`);
    },
    serving() {},
  };
}
