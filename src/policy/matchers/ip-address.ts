/**
 * IP addresses as numbers, parsed as strictly as inet_pton does: no leading zeros, no short forms.
 */

export interface IpAddress {
  readonly family: 4 | 6;
  /** Unsigned 32-bit words, most significant first: one or four. */
  readonly words: readonly number[];
}

/** null: no IP address; one with a zone (`%eth0`) is none that a rule or a client could name. */
export function parseIp(text: string): IpAddress | null {
  if (text.length > 64) return null;
  if (!text.includes(':')) {
    const word = parseIpv4(text);
    return word === -1 ? null : { family: 4, words: [word] };
  }
  return parseIpv6(text);
}

/** The IPv4 address that a dual-stack listener reports as `::ffff:10.0.0.1`. */
export function unmapIp(ip: IpAddress | null): IpAddress | null {
  if (ip === null || ip.family === 4) return ip;
  const [first, second, third, last] = ip.words;
  return first === 0 && second === 0 && third === 0xffff ? { family: 4, words: [last ?? 0] } : ip;
}

/** -1: not one. */
function parseIpv4(text: string): number {
  let word = 0;
  let octets = 0;
  let octet = -1;
  for (let i = 0; i <= text.length; i++) {
    const code = i === text.length ? 46 : text.charCodeAt(i);
    if (code === 46) {
      if (octet === -1 || octets === 4) return -1;
      word = word * 256 + octet;
      octets++;
      octet = -1;
    } else {
      if (code < 48 || code > 57 || octet === 0) return -1;
      octet = (octet === -1 ? 0 : octet * 10) + code - 48;
      if (octet > 255) return -1;
    }
  }
  return octets === 4 ? word : -1;
}

function parseIpv6(text: string): IpAddress | null {
  const gapAt = text.indexOf('::');
  const head = gapAt === -1 ? text : text.slice(0, gapAt);
  const before = parseGroups(head, gapAt === -1);
  const after = gapAt === -1 ? [] : parseGroups(text.slice(gapAt + 2), true);
  if (before === null || after === null) return null;
  const missing = 8 - before.length - after.length;
  // `::` stands for at least one group, and there is only one.
  if (gapAt === -1 ? missing !== 0 : missing < 1) return null;
  const groups = [...before, ...Array.from({ length: missing }, () => 0), ...after];
  const words = [0, 2, 4, 6].map((i) => (groups[i] ?? 0) * 0x1_0000 + (groups[i + 1] ?? 0));
  return { family: 6, words };
}

/** The last may be a dotted IPv4 address where the text ends the whole. */
function parseGroups(text: string, atEnd: boolean): number[] | null {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (atEnd && index === parts.length - 1 && part.includes('.')) {
      const word = parseIpv4(part);
      if (word === -1) return null;
      groups.push(Math.floor(word / 0x1_0000), word % 0x1_0000);
    } else {
      if (!isHexGroup(part)) return null;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

function isHexGroup(text: string): boolean {
  return /^[0-9a-fA-F]{1,4}$/.test(text);
}
