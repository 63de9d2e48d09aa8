/** `postern demo`, which is `npm start`: proves what the mesh does, then serves for trying it by hand. */
import type { DemoOptions } from '../demo/run-demo.ts';
import type { Command } from './command.ts';
import { onStopSignal } from './stop-signal.ts';
import { EXIT_NEGATIVE, EXIT_OK, wantsJson } from './command.ts';

/** After the end, whatever is still open keeps the process no longer than this. */
const EXIT_WITHIN_MS = 2_000;

export const demoCommand: Command = createDemoCommand({});

/** `broken`: how tests break the mesh; nobody else can. */
export function createDemoCommand(broken: Pick<DemoOptions, 'mesh' | 'onStarted' | 'scenarios'>): Command {
  return {
    name: 'demo',
    summary: 'Show a mesh of four sidecars in one process, by requests really sent',
    usage: '[--once] [--output json]',
    example: 'postern demo --once',
    takesPositionals: false,
    flags: {
      once: { type: 'boolean', meaning: 'end after the checks; exit 0 if every one holds, else 1' },
      output: { type: 'string', value: 'FORMAT', meaning: 'text or json; default text' },
    },
    more: () =>
      'Needs nothing set up: its documents are in a folder of its own, removed at the end; keys are in no file.',
    async run(parsed) {
      const json = wantsJson(parsed);
      const once = parsed.values['once'] === true;
      const stop = new AbortController();
      onStopSignal(() => stop.abort());
      // Nobody reads any more.
      process.stdout.on('error', () => stop.abort());
      // Loaded by this command only: the certificate authority is far too heavy for a sidecar.
      const { runDemo } = await import('../demo/run-demo.ts');
      const { createDemoPrinter } = await import('../demo/print-demo.ts');
      const { createDemoJsonPrinter } = await import('../demo/print-demo-json.ts');
      const reporter = json ? createDemoJsonPrinter(process.stdout) : createDemoPrinter(process.stdout);
      const { ok, started } = await runDemo({ ...broken, once, stop: stop.signal, reporter });
      const exitCode = !ok && (once || !started) ? EXIT_NEGATIVE : EXIT_OK;
      setTimeout(() => process.exit(exitCode), EXIT_WITHIN_MS).unref();
      return exitCode;
    },
  };
}
