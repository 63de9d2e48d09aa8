/**
 * The TCP sockets that processes hold open, by their state, from /proc (proc(5), include/net/tcp_states.h).
 */
import { existsSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';

const STATES: Readonly<Record<string, string>> = {
  '01': 'ESTABLISHED',
  '02': 'SYN_SENT',
  '03': 'SYN_RECV',
  '04': 'FIN_WAIT1',
  '05': 'FIN_WAIT2',
  '06': 'TIME_WAIT',
  '07': 'CLOSE',
  '08': 'CLOSE_WAIT',
  '09': 'LAST_ACK',
  '0A': 'LISTEN',
  '0B': 'CLOSING',
};

/** Adds inode → state of `/proc/net/tcp` or `/proc/net/tcp6`. */
export function readTcpTable(table: string, into: Map<string, string>): void {
  for (const line of table.split('\n').slice(1)) {
    // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
    const fields = line.trim().split(/ +/);
    const [state, inode] = [fields[3], fields[9]];
    if (state !== undefined && inode !== undefined) into.set(inode, STATES[state] ?? state);
  }
}

/** The same for `/proc/net/unix`: streams, pipes of a parent process. */
export function readUnixTable(table: string, into: Map<string, string>): void {
  for (const line of table.split('\n').slice(1)) {
    // Num RefCount Protocol Flags Type St Inode Path
    const inode = line.trim().split(/ +/)[6];
    if (inode !== undefined) into.set(inode, 'UNIX');
  }
}

function socketInodes(pid: number): string[] {
  const inodes: string[] = [];
  for (const name of readdirSync(`/proc/${pid}/fd`)) {
    try {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${name}`))?.[1];
      if (inode !== undefined) inodes.push(inode);
    } catch {
      // Closed between two looks.
    }
  }
  return inodes;
}

/**
 * How many sockets there are of each state; `UNIX` are those of that family. One that belongs to no connection any more,
 * or to another protocol, is `UNCONNECTED`: it still is an open file.
 */
export function socketStates(pids: readonly number[]): Map<string, number> {
  const held = pids.flatMap(socketInodes);
  const states = new Map<string, string>();
  for (const file of ['/proc/self/net/tcp', '/proc/self/net/tcp6']) {
    // A kernel without IPv6 has only the first.
    if (existsSync(file)) readTcpTable(readFileSync(file, 'utf8'), states);
  }
  readUnixTable(readFileSync('/proc/self/net/unix', 'utf8'), states);
  const counts = new Map<string, number>();
  for (const inode of held) {
    const state = states.get(inode) ?? 'UNCONNECTED';
    counts.set(state, (counts.get(state) ?? 0) + 1);
  }
  return counts;
}
