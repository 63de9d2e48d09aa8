/** Finds in a document what could name something that does not exist: paths, scripts, flags, variables, codes. */
import path from 'node:path';
import type { Command } from '../../src/cli/command.ts';

/** What git ignores and a run writes. */
const WRITTEN_BY_RUNS = ['bench/results', 'certs-dev/out'];
/** Read by tests and the bench, not by the program; and the prefix itself. */
const OTHER_VARIABLES = new Set(['POSTERN_', 'POSTERN_ENVOY']);
/** Names of other programs and files that look like one of ours. */
const FOREIGN_NAMES = new Set([
  'normalize_path',
  'x_forwarded_client_cert',
  'only_sleep_writes',
  's_client',
  'node_modules',
]);

/** Paths from the root that a document names in back quotes or links to. */
export function danglingPaths(text: string, folder: string, exists: (file: string) => boolean): string[] {
  const quoted = [...text.matchAll(/`((?:src|test|docs|bench|certs-dev)\/[\w./-]+)`/g)].map(
    ([, file = '']) => file,
  );
  const linked = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)].map(([, file = '']) =>
    path.posix.join(folder, file),
  );
  return [...quoted, ...linked].filter(
    (file) => !WRITTEN_BY_RUNS.some((one) => file.startsWith(one)) && !exists(file),
  );
}

export function unknownScripts(text: string, scripts: readonly string[]): string[] {
  const named = [...text.matchAll(/\bnpm (?:run ([\w:-]+)|(start|test)\b)/g)].map(
    ([, run, own]) => run ?? own ?? '',
  );
  return named.filter((name) => !scripts.includes(name));
}

/** Flags behind `postern COMMAND` and `src/launcher.js COMMAND`, to the end of the code or line. */
export function unknownFlags(text: string, commands: readonly Command[]): string[] {
  const faults: string[] = [];
  for (const [, name = '', rest = ''] of text.matchAll(
    /(?:`postern|src\/launcher\.js) ([a-z]+)\b([^`\n]*)/g,
  )) {
    const command = commands.find((one) => one.name === name);
    if (command === undefined) {
      faults.push(name);
      continue;
    }
    for (const [, flag = ''] of rest.matchAll(/--([\w.-]+)/g)) {
      if (!Object.hasOwn(command.flags, flag)) faults.push(`${name} --${flag}`);
    }
  }
  return faults;
}

export function unknownEnvironment(text: string, known: ReadonlySet<string | null>): string[] {
  const named = [...text.matchAll(/\bPOSTERN_[A-Z_]*/g)].map(([name]) => name);
  return named.filter((name) => !known.has(name) && !OTHER_VARIABLES.has(name));
}

/** Words with an underscore, lower case, in back quotes or in blocks: codes, counters, keys. */
export function unknownNames(text: string, exists: (name: string) => boolean): string[] {
  const code = [...text.matchAll(/```(?:\w*)\n([\s\S]*?)```|`([^`\n]+)`/g)].map(
    ([, block, inline]) => block ?? inline ?? '',
  );
  const names = code.flatMap((part) => part.match(/(?<![\w%{.-])[a-z]+(?:_[a-z0-9]+)+(?![\w…(-])/g) ?? []);
  return [...new Set(names)].filter((name) => !FOREIGN_NAMES.has(name) && !exists(name));
}

/** Code blocks that a comment before them gives a file name: `<!-- file: NAME -->`. */
export function filesOf(text: string): readonly (readonly [name: string, text: string])[] {
  return [...text.matchAll(/<!-- file: (\S+) -->\s*```\w+\n([\s\S]*?)```/g)].map(
    ([, name = '', body = '']) => [name, body],
  );
}
