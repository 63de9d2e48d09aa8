/**
 * What Linux says of a process in /proc: CPU used by all its threads, resident memory, its children (proc(5)).
 */
import { readFileSync, readdirSync } from 'node:fs';

/** USER_HZ: what /proc counts CPU time in; 100 on every architecture that Linux runs Node on. */
const TICKS_PER_SECOND = 100;

/** User and system time in ticks from `/proc/PID/stat`; the command name in it may hold spaces and brackets. */
export function parseCpuTicks(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // The third field of the line is the first here: utime is field 14, stime 15.
  const ticks = Number(fields[11]) + Number(fields[12]);
  if (!Number.isFinite(ticks)) throw new Error(`Cannot read CPU time from "${stat.trim()}"`);
  return ticks;
}

/** Resident bytes from `/proc/PID/status`. */
export function parseRssBytes(status: string): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(status);
  if (match === null) throw new Error('Cannot find VmRSS in /proc/PID/status: the process has ended');
  return Number(match[1]) * 1024;
}

/** Ticks that one CPU was not idle, from `/proc/stat`, whoever used them. */
export function parseBusyTicks(stat: string, cpu: number): number {
  const line = stat.split('\n').find((text) => text.startsWith(`cpu${cpu} `));
  if (line === undefined) throw new Error(`Cannot find CPU ${cpu} in /proc/stat`);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line
    .split(/ +/)
    .slice(1)
    .map(Number);
  return user + nice + system + irq + softirq + steal;
}

/** How many files a process may have open (the soft limit), from `/proc/PID/limits`. */
export function parseOpenFilesLimit(limits: string): number {
  const soft = /^Max open files\s+(\d+|unlimited)\s/m.exec(limits)?.[1];
  if (soft === undefined) throw new Error('Cannot find "Max open files" in /proc/PID/limits');
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
}

/** A process and all its descendants. */
export function processTree(pid: number): number[] {
  const found = [pid];
  for (const each of found) {
    try {
      for (const task of readdirSync(`/proc/${each}/task`)) {
        const children = readFileSync(`/proc/${each}/task/${task}/children`, 'utf8').trim();
        if (children !== '') found.push(...children.split(' ').map(Number));
      }
    } catch {
      // Ended between two looks: it has no children any more.
    }
  }
  return found;
}

export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) ticks += parseCpuTicks(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  return ticks / TICKS_PER_SECOND;
}

/** Resident bytes of the largest of these processes: a master beside its one worker shares its pages. */
export function rssBytes(pids: readonly number[]): number {
  let largest = 0;
  for (const pid of pids) {
    largest = Math.max(largest, parseRssBytes(readFileSync(`/proc/${pid}/status`, 'utf8')));
  }
  return largest;
}

export function cpuBusySeconds(cpu: number): number {
  return parseBusyTicks(readFileSync('/proc/stat', 'utf8'), cpu) / TICKS_PER_SECOND;
}
