/** Walks a comma-separated list (RFC 9110 §5.6.1) by position; empty members are passed over. */

export interface ListMember {
  /** The member without white space and without parameters after `;`. */
  readonly name: string;
  /** Where to go on. */
  readonly next: number;
}

const SEMICOLON = 59;

/** The first member at or after `from`, or null at the end. */
export function nextMember(list: string, from: number): ListMember | null {
  const length = list.length;
  let at = from;
  while (at < length) {
    let end = list.indexOf(',', at);
    if (end === -1) end = length;
    let start = at;
    // Not indexOf: it would look through the whole list once a member.
    let stop = at;
    while (stop < end && list.charCodeAt(stop) !== SEMICOLON) stop++;
    while (start < stop && isBlank(list.charCodeAt(start))) start++;
    while (stop > start && isBlank(list.charCodeAt(stop - 1))) stop--;
    if (stop > start) return { name: list.substring(start, stop), next: end + 1 };
    at = end + 1;
  }
  return null;
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9;
}
