/**
 * Header fields as one flat list: name, value, name, value …, names in lower case, order and repeats kept.
 *
 * A flat array is what the head parser fills and the writer walks without making an object a field.
 */
export type Fields = string[];

/** The first value of `name` (lower case), or undefined. */
export function getField(fields: readonly string[], name: string): string | undefined {
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) return fields[i + 1];
  return undefined;
}

/** All values of `name`, in order. */
export function getFieldValues(fields: readonly string[], name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) values.push(fields[i + 1]!);
  return values;
}

/** Removes every field of that name. */
export function removeField(fields: Fields, name: string): void {
  let to = 0;
  for (let from = 0; from < fields.length; from += 2) {
    if (fields[from] === name) continue;
    if (to !== from) {
      fields[to] = fields[from]!;
      fields[to + 1] = fields[from + 1]!;
    }
    to += 2;
  }
  fields.length = to;
}

/** Leaves exactly one field of that name, in the place of the first or at the end. */
export function setField(fields: Fields, name: string, value: string): void {
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== name) continue;
    fields[i + 1] = value;
    for (let j = fields.length - 2; j > i; j -= 2) if (fields[j] === name) fields.splice(j, 2);
    return;
  }
  fields.push(name, value);
}

/** Adds one more field of that name (lower case). */
export function addField(fields: Fields, name: string, value: string): void {
  fields.push(name, value);
}
