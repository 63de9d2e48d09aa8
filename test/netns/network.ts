/**
 * Network namespaces of our own, made for one test file and deleted after it: a client, a router and the host
 * that runs the listener, in a row. Nothing outside these namespaces is touched.
 *
 *   client 10.77.1.2 / fd77:1::2  ─  router  ─  host 10.77.2.2 / fd77:2::2
 */
import { execFileSync } from 'node:child_process';

const TAG = `pt${process.pid % 100_000}`;

export const CLIENT = `${TAG}c`;
export const ROUTER = `${TAG}r`;
export const HOST = `${TAG}h`;

/** Why these tests cannot run here; false if they can. */
export const skipNetns: string | false = findObstacle();

function findObstacle(): string | false {
  if (process.platform !== 'linux') return 'needs Linux';
  if (process.getuid?.() !== 0) return 'needs root';
  for (const [command, ...rest] of [
    ['ip', '-V'],
    ['iptables', '-V'],
    ['ip6tables', '-V'],
  ]) {
    try {
      execFileSync(command ?? '', rest, { stdio: 'ignore' });
    } catch {
      return `needs ${command}`;
    }
  }
  try {
    execFileSync('ip', ['netns', 'add', `${TAG}t`], { stdio: 'ignore' });
    execFileSync('ip', ['netns', 'exec', `${TAG}t`, 'iptables', '-t', 'nat', '-S'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'needs the right to make network namespaces and NAT rules';
  } finally {
    deleteNamespace(`${TAG}t`);
  }
}

/** Runs a command line of simple words; fails with its stderr. */
export function run(line: string): string {
  const [command = '', ...rest] = line.split(' ');
  return execFileSync(command, rest, { encoding: 'utf8', stdio: 'pipe' });
}

export function inside(namespace: string): readonly string[] {
  return ['ip', 'netns', 'exec', namespace];
}

export function runIn(namespace: string, line: string): string {
  return run(`${inside(namespace).join(' ')} ${line}`);
}

export function buildNetwork(): void {
  for (const namespace of [CLIENT, ROUTER, HOST]) {
    run(`ip netns add ${namespace}`);
    runIn(namespace, 'ip link set lo up');
  }
  link(CLIENT, 'c0', ROUTER, 'r0');
  link(ROUTER, 'r1', HOST, 'h0');
  address(CLIENT, 'c0', '10.77.1.2/24', 'fd77:1::2/64');
  address(ROUTER, 'r0', '10.77.1.1/24', 'fd77:1::1/64');
  address(ROUTER, 'r1', '10.77.2.1/24', 'fd77:2::1/64');
  address(HOST, 'h0', '10.77.2.2/24', 'fd77:2::2/64');
  for (const [namespace, via4, via6] of [
    [CLIENT, '10.77.1.1', 'fd77:1::1'],
    [HOST, '10.77.2.1', 'fd77:2::1'],
  ]) {
    run(`ip -n ${namespace} route add default via ${via4}`);
    run(`ip -n ${namespace} -6 route add default via ${via6}`);
  }
  runIn(ROUTER, 'sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1');
}

export function deleteNetwork(): void {
  for (const namespace of [CLIENT, ROUTER, HOST]) deleteNamespace(namespace);
}

function link(left: string, leftName: string, right: string, rightName: string): void {
  run(`ip -n ${left} link add ${leftName} type veth peer name ${rightName} netns ${right}`);
}

function address(namespace: string, device: string, v4: string, v6: string): void {
  run(`ip -n ${namespace} addr add ${v4} dev ${device}`);
  run(`ip -n ${namespace} -6 addr add ${v6} dev ${device} nodad`);
  run(`ip -n ${namespace} link set ${device} up`);
}

function deleteNamespace(namespace: string): void {
  try {
    execFileSync('ip', ['netns', 'delete', namespace], { stdio: 'ignore' });
  } catch {
    // It was never made.
  }
}
