/** Runs a command in this process, for what ends in one exit code and lines on stderr: a process costs a second. */
import type { TestContext } from 'node:test';
import { EXIT_MISUSE, UsageError } from '../../src/cli/command.ts';
import type { Command } from '../../src/cli/command.ts';
import { parseArguments } from '../../src/cli/run-cli.ts';

export interface RanCommand {
  readonly code: number;
  readonly stderr: string;
}

export async function runCommand(
  t: TestContext,
  command: Command,
  args: readonly string[],
): Promise<RanCommand> {
  let stderr = '';
  const write = t.mock.method(process.stderr, 'write', (text: string) => {
    stderr += text;
    return true;
  });
  try {
    return { code: await command.run(parseArguments(command, args)), stderr };
  } catch (thrown) {
    if (!(thrown instanceof UsageError)) throw thrown;
    return { code: EXIT_MISUSE, stderr: `${stderr}${thrown.message}` };
  } finally {
    write.mock.restore();
  }
}
