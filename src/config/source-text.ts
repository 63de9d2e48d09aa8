/**
 * Where an offset of a text stands in a file, also when the text is itself a value inside another document
 * (a ConfigMap's `data.mesh`).
 */
import type { Position } from './resources.ts';
import type { LineColumn, ScalarNode } from './yaml-tree.ts';

export interface SourceText {
  readonly file: string;
  readonly at: (offset: number) => Position;
}

/** The text of a whole file. */
export function fileSource(file: string, lineColumn: (offset: number) => LineColumn): SourceText {
  return { file, at: (offset) => ({ file, ...lineColumn(offset) }) };
}

/**
 * The text of a scalar. In a `|` block each line of the value is a line of the file, indented;
 * in any other style all of it is said to stand where the scalar begins.
 */
export function embeddedSource(
  outer: SourceText,
  outerText: string,
  scalar: ScalarNode,
  lineColumn: (offset: number) => LineColumn,
): SourceText {
  const start = outer.at(scalar.offset);
  if (!scalar.literalBlock || typeof scalar.value !== 'string') return { file: outer.file, at: () => start };
  const innerLines = scalar.value.split('\n');
  const firstFilled = innerLines.findIndex((line) => line.trim() !== '');
  const outerLine = lineOf(outerText, start.line + 1 + firstFilled);
  const indent = leadingSpaces(outerLine) - leadingSpaces(innerLines[firstFilled] ?? '');
  return {
    file: outer.file,
    at: (offset) => {
      const inner = lineColumn(offset);
      return { file: outer.file, line: start.line + inner.line, column: inner.column + Math.max(0, indent) };
    },
  };
}

function lineOf(text: string, line: number): string {
  let start = 0;
  for (let current = 1; current < line; current += 1) {
    const end = text.indexOf('\n', start);
    if (end === -1) return '';
    start = end + 1;
  }
  const end = text.indexOf('\n', start);
  return text.slice(start, end === -1 ? text.length : end);
}

function leadingSpaces(line: string): number {
  return line.length - line.trimStart().length;
}
