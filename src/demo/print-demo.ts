/**
 * The demo as text: a heading, a line a check, a summary, and what to try by hand. Colours are left out where
 * NO_COLOR says so or where no terminal reads.
 */
import { styleText } from 'node:util';
import type { CheckResult } from './check.ts';
import type { DemoMesh } from './demo-mesh.ts';
import { WORKLOAD_NAMES } from './demo-names.ts';
import type { DemoWorkload } from './demo-workload.ts';
import type { DemoReporter, DemoResult } from './run-demo.ts';
import { whatToTry } from './what-to-try.ts';

/** Names are padded to this. */
const NAME_WIDTH = 27;

type Style = Parameters<typeof styleText>[0];

export function createDemoPrinter(stream: NodeJS.WritableStream): DemoReporter {
  // The stream decides: styleText leaves colours out where it is no terminal, or the environment says so.
  const styled = (style: Style, text: string): string => styleText(style, text, { stream });
  const print = (text: string): void => {
    stream.write(`${text}\n`);
  };
  const dim = (text: string): string => styled('dim', text);
  return {
    started({ workloads }) {
      print(styled('bold', 'postern demo: a mesh of four sidecars, their agents and a CA in this process'));
      for (const name of WORKLOAD_NAMES) print(dim(`${name.padEnd(11)} ${placeOf(workloads[name])}`));
    },
    notStarted(why) {
      print(`${styled('red', '✗')} Cannot start the demo: ${why}`);
    },
    scenario(title) {
      print(`\n${styled('bold', title)}`);
    },
    checked(result) {
      for (const line of checkLines(result, styled)) print(line);
    },
    finished(result) {
      print(`\n${summary(result, styled)}`);
    },
    serving(mesh) {
      print('');
      for (const { what, lines } of whatToTry(mesh)) {
        print(styled('bold', what));
        for (const line of lines) print(`  ${line}`);
      }
      print(dim('Refusals and reloads are told here as they happen; Ctrl-C ends'));
      tellLogs(mesh, (text) => print(dim(text)));
    },
  };
}

function placeOf(workload: DemoWorkload): string {
  const { host, isReady, name, whyNot } = workload;
  if (!isReady) return whyNot;
  return name.endsWith('/httpbin')
    ? `${host}:${workload.ingress.port}, its app behind it`
    : `${host}:${workload.egress.port}, for its app's calls`;
}

function checkLines(result: CheckResult, styled: (style: Style, text: string) => string): string[] {
  const { name, expected, got, ok, notes, durationMs } = result;
  const time = styled('dim', `${Math.round(durationMs)} ms`);
  const label = name.padEnd(NAME_WIDTH);
  const lines = ok
    ? [`  ${styled('green', '✓')} ${label} ${got}  ${time}`]
    : [
        `  ${styled('red', '✗')} ${label} ${time}`,
        `      ${styled('red', 'expected')} ${expected}`,
        `      ${styled('red', 'got')}      ${got}`,
      ];
  return [...lines, ...notes.map((note) => `      ${styled('dim', note)}`)];
}

function summary(
  { ok, checks, durationMs }: DemoResult,
  styled: (style: Style, text: string) => string,
): string {
  const held = checks.filter((check) => check.ok).length;
  const text = ok
    ? `All ${held} checks hold`
    : `${checks.length - held} of ${checks.length} checks do not hold`;
  return `${styled(ok ? ['bold', 'green'] : ['bold', 'red'], text)}  ${styled('dim', `${(durationMs / 1_000).toFixed(1)} s`)}`;
}

/** What the user's own tries make the sidecars say. */
function tellLogs({ workloads }: DemoMesh, print: (text: string) => void): void {
  for (const { logs, name } of Object.values(workloads)) {
    logs.listen((line) => {
      const hint = line.field('hint');
      if (hint !== '') print(`  ${name}: ${line.code}: ${hint}`);
      else if (line.code === 'reloaded' || line.code === 'config_invalid')
        print(`  ${name}: ${line.code}: ${line.message}`);
    });
  }
}
