/** The texts of `--help`, made from the commands themselves. */
import type { Command } from './command.ts';

export function overview(commands: readonly Command[]): string {
  const width = Math.max(...commands.map((command) => command.name.length));
  const lines = commands.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`);
  return [
    'postern: the security half of a service mesh as one program',
    '',
    'usage: postern COMMAND [flags]',
    '',
    ...lines,
    '',
    'postern COMMAND --help tells a command’s flags; postern --version the version.',
    'exit codes: 0 ok, 1 a negative answer, 2 misuse, 70 an unexpected exception.',
    '',
  ].join('\n');
}

export function commandHelp(command: Command): string {
  const flags = Object.entries(command.flags).map(([name, flag]): [string, string] => [
    `--${name}${flag.value === undefined ? '' : ` ${flag.value}`}`,
    flag.meaning,
  ]);
  const width = Math.max(0, ...flags.map(([name]) => name.length));
  return [
    command.summary,
    '',
    `usage: postern ${command.name} ${command.usage}`.trimEnd(),
    '',
    ...(flags.length === 0
      ? []
      : [...flags.map(([name, meaning]) => `  ${name.padEnd(width)}  ${meaning}`), '']),
    ...(command.more === undefined ? [] : [command.more(), '']),
    `example: ${command.example}`,
    '',
  ].join('\n');
}
