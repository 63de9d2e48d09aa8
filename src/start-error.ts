/** Why a start failed; every line is for stderr as it is. */
export class StartError extends Error {
  readonly lines: readonly string[];

  constructor(lines: readonly string[]) {
    super(lines[0] ?? 'Cannot start');
    this.name = 'StartError';
    this.lines = lines;
  }
}
