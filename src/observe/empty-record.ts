/** A record that inherits nothing, so that no name can meet `constructor` or `__proto__`. */
export function emptyRecord<T>(): Record<string, T> {
  const record: Record<string, T> = {};
  Object.setPrototypeOf(record, null);
  return record;
}
