/**
 * postern.yaml, environment and flags → one checked configuration of a sidecar, or every reason why there is none.
 */
import { dirname, resolve } from 'node:path';
import { isLoopback } from '../core/address.ts';
import { DEFAULT_LIMITS } from '../core/limits.ts';
import type { Limits } from '../core/limits.ts';
import { CONFIG_KEYS } from './config-keys.ts';
import { CONFIG_LIMITS } from './config-limits.ts';
import { ConfigSettings } from './config-settings.ts';
import type { Endpoint } from './config-values.ts';
import { readDocumentFile } from './document-files.ts';
import type { ConfigEntry } from './document-files.ts';
import { formatDuration } from './duration.ts';
import { describe, FieldReader } from './field-reader.ts';
import { hasErrors, ProblemList } from './problem.ts';
import type { Problem } from './problem.ts';
import { fileSource } from './source-text.ts';
import { parseYaml, shown } from './yaml-tree.ts';

/** A listener of ours; port 0 picks a free one. */
export interface ListenAddress {
  readonly bind: string;
  readonly port: number;
}

/** Files that hold the identity; all paths absolute. */
export interface FileIdentity {
  readonly kind: 'files';
  readonly certificateChain: string;
  readonly privateKey: string;
  readonly trustBundle: string;
}

/** An SDS server that gives the identity. */
export interface SdsIdentity {
  readonly kind: 'sds';
  /** Absolute path of its Unix socket. */
  readonly socket: string;
  readonly certificateName: string;
  readonly bundleName: string;
  /** Token that is sent as `authorization: Bearer`; null: none. */
  readonly tokenFile: string | null;
}

/** All paths are absolute, all defaults filled in. */
export interface PosternConfig {
  /** The file that was read. */
  readonly file: string;
  readonly workload: {
    readonly namespace: string;
    readonly serviceAccount: string;
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
  };
  readonly identity: FileIdentity | SdsIdentity;
  readonly config: readonly ConfigEntry[];
  readonly intercept: ListenAddress & {
    /** null: no listener for inbound connections only. */
    readonly inboundPort: number | null;
    readonly direct: Endpoint | null;
  };
  readonly app: { readonly host: string };
  readonly admin: ListenAddress;
  readonly readiness: ListenAddress;
  readonly metrics: ListenAddress;
  readonly concurrency: number;
  /** null: as MeshConfig says. */
  readonly accessLog: { readonly path: string; readonly format: 'json' | 'text' } | null;
  readonly limits: Limits;
  readonly drainMs: number;
  readonly drainMaxMs: number;
}

export interface PosternConfigInput {
  readonly file: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Setting path → text, `{'intercept.port': '0'}`: what flags said. */
  readonly flags?: Readonly<Record<string, string>>;
  /** What paths in flags and environment are relative to. */
  readonly workingDirectory: string;
}

export interface LoadedPosternConfig {
  /** null when any problem is an error. */
  readonly config: PosternConfig | null;
  readonly problems: readonly Problem[];
}

/** Reads and checks a postern.yaml. Never throws for what it holds. */
export function loadPosternConfig(input: PosternConfigInput): LoadedPosternConfig {
  const file = resolve(input.workingDirectory, input.file);
  const problems = new ProblemList(CONFIG_LIMITS.maxProblems);
  const text = readDocumentFile(file, CONFIG_LIMITS.maxFileBytes, problems);
  if (text === null) return { config: null, problems: problems.sorted() };
  return readPosternConfig(text, { ...input, file }, problems);
}

/** The same for a text that is in memory already; `input.file` says where it would stand. */
export function parsePosternConfig(text: string, input: PosternConfigInput): LoadedPosternConfig {
  return readPosternConfig(text, input, new ProblemList(CONFIG_LIMITS.maxProblems));
}

function readPosternConfig(
  text: string,
  input: PosternConfigInput,
  problems: ProblemList,
): LoadedPosternConfig {
  const parsed = parseYaml(text);
  const source = fileSource(input.file, parsed.lineColumn);
  for (const problem of parsed.problems) {
    problems.add('error', problem.code, source.at(problem.offset), '', problem.message, problem.fix);
  }
  const [tree, second] = parsed.documents;
  if (second !== undefined) {
    problems.add(
      'error',
      'not_a_document',
      source.at(second.offset),
      '',
      'a second document',
      'keep one of them',
    );
  }
  if (tree !== undefined && tree.kind !== 'map') {
    const message = `${describe(tree)} is not a mapping`;
    problems.add('error', 'not_a_document', source.at(tree.offset), '', message, 'write keys like workload');
  }
  const root = tree?.kind === 'map' ? new FieldReader(tree, '', source, problems) : null;
  const settings = new ConfigSettings(problems, input.file);
  const folder = dirname(input.file);
  if (root !== null) settings.readFile(root, folder);
  settings.readEnvironment(input.environment, input.workingDirectory);
  settings.readFlags(input.flags ?? {}, input.workingDirectory);
  // With YAML that cannot be read everything would also be "missing": one reason is enough.
  const config =
    parsed.problems.length > 0 ? null : buildConfig(settings, input.file, readEntries(root, folder));
  if (config?.config.length === 0 && !problems.sorted().some(({ path }) => path === 'config')) {
    const message = 'no Istio documents are listed: every port takes plaintext and mTLS';
    problems.add('warning', 'empty', settings.filePosition, 'config', message, 'add config: [./mesh]');
  }
  const sorted = problems.sorted();
  return { config: hasErrors(sorted) ? null : config, problems: sorted };
}

function buildConfig(
  settings: ConfigSettings,
  file: string,
  config: readonly ConfigEntry[],
): PosternConfig | null {
  const identity = readIdentity(settings);
  const namespace = required(settings, 'workload.namespace');
  const serviceAccount = required(settings, 'workload.serviceAccount');
  checkUsable(settings);
  const direct = settings.get('intercept.direct')?.value;
  const labels = settings.get('workload.labels')?.value;
  const built: PosternConfig = {
    file,
    workload: {
      namespace,
      serviceAccount,
      name: settings.text('workload.name') ?? serviceAccount,
      labels: isLabels(labels) ? labels : {},
    },
    identity: identity ?? { kind: 'files', certificateChain: '', privateKey: '', trustBundle: '' },
    config,
    intercept: {
      ...listenAddress(settings, 'intercept'),
      inboundPort: settings.number('intercept.inboundPort'),
      direct: isEndpoint(direct) ? direct : null,
    },
    app: { host: settings.text('app.host') ?? '' },
    admin: listenAddress(settings, 'admin'),
    readiness: listenAddress(settings, 'readiness'),
    metrics: listenAddress(settings, 'metrics'),
    concurrency: settings.number('concurrency') ?? 1,
    accessLog: readAccessLog(settings),
    limits: readLimits(settings),
    drainMs: settings.number('drain') ?? 0,
    drainMaxMs: settings.number('drainMax') ?? 0,
  };
  checkTogether(settings, built);
  return identity === null ? null : built;
}

function readIdentity(settings: ConfigSettings): FileIdentity | null {
  const sources = ['sds', 'files', 'workloadApi'].filter((name) => settings.isWritten(`identity.${name}`));
  if (sources.length === 0) {
    const fix = 'add identity.files with certificateChain, privateKey and trustBundle';
    settings.report('identity', 'missing_field', 'the sidecar has no identity', fix);
    return null;
  }
  if (sources.length > 1) {
    settings.report(
      'identity',
      'conflict',
      `identity has ${sources.join(' and ')}`,
      'keep exactly one of them',
    );
    return null;
  }
  for (const name of ['certificateName', 'bundleName', 'tokenFile']) {
    if (sources[0] !== 'sds' && settings.get(`identity.${name}`) !== null) {
      settings.report(`identity.${name}`, 'conflict', `${name} is for identity.sds only`, 'remove it');
    }
  }
  if (sources[0] !== 'files') return null;
  return {
    kind: 'files',
    certificateChain: required(settings, 'identity.files.certificateChain'),
    privateKey: required(settings, 'identity.files.privateKey'),
    trustBundle: required(settings, 'identity.files.trustBundle'),
  };
}

function checkUsable(settings: ConfigSettings): void {
  for (const key of CONFIG_KEYS) {
    if (key.notUsableYet === true && settings.get(key.path) !== null) {
      const fix = key.path.startsWith('identity.files.') ? 'remove it' : 'use identity.files';
      settings.report(key.path, 'not_usable_yet', `this version cannot use ${key.path} yet`, fix);
    }
  }
  const concurrency = settings.number('concurrency');
  if (concurrency !== null && concurrency !== 1) {
    const message = `this version runs one worker, not ${concurrency === 0 ? 'one a core' : concurrency}`;
    settings.report('concurrency', 'not_usable_yet', message, 'write 1 or remove it');
  }
}

/** Settings that are right alone and wrong together. */
function checkTogether(settings: ConfigSettings, config: PosternConfig): void {
  const { bind } = config.admin;
  if (bind !== '' && bind !== 'localhost' && !isLoopback(bind)) {
    const message = `the admin server would listen on "${bind}", which others can reach`;
    settings.report('admin.bind', 'bad_value', message, 'write a loopback address like 127.0.0.1');
  }
  if (config.drainMs > config.drainMaxMs) {
    const message = `drain ${formatDuration(config.drainMs)} is more than drainMax ${formatDuration(config.drainMaxMs)}`;
    settings.report('drain', 'conflict', message, 'lower drain or raise drainMax');
  }
  const taken = new Map<number, string>();
  for (const path of [
    'intercept.port',
    'intercept.inboundPort',
    'admin.port',
    'readiness.port',
    'metrics.port',
  ]) {
    const port = settings.number(path);
    if (port === null || port === 0) continue;
    const bindOf = (of: string): string => settings.text(`${of.split('.', 1)[0] ?? ''}.bind`) ?? '';
    const first = taken.get(port);
    if (first !== undefined && overlap(bindOf(first), bindOf(path))) {
      // Whichever was written is the one to change.
      const at = settings.get(path) === null ? first : path;
      settings.report(at, 'conflict', `${first} and ${path} are both ${port}`, 'give each its own port');
    }
    taken.set(port, first ?? path);
    const { direct } = config.intercept;
    if (direct?.port === port && reaches(direct.host, bindOf(path))) {
      // To the listener itself each connection would make another one; to the admin server, open it to all.
      const message = `intercept.direct is ${path} of this sidecar itself`;
      settings.report('intercept.direct', 'conflict', message, 'write the HOST:PORT of the app');
    }
  }
}

/** Whether listeners on both addresses with one port would collide. */
function overlap(a: string, b: string): boolean {
  return a === b || isAnyAddress(a) || isAnyAddress(b);
}

/** Whether a connection to `host` surely arrives at a listener on `bind`. */
function reaches(host: string, bind: string): boolean {
  const local = host === 'localhost' || isLoopback(host) || isAnyAddress(host);
  return host === bind || (local && isAnyAddress(bind)) || (host === 'localhost' && isLoopback(bind));
}

function isAnyAddress(bind: string): boolean {
  return bind === '0.0.0.0' || bind === '::';
}

function readAccessLog(settings: ConfigSettings): PosternConfig['accessLog'] {
  if (!settings.isWritten('accessLog')) return null;
  const format = settings.text('accessLog.format') === 'text' ? 'text' : 'json';
  return { path: settings.text('accessLog.path') ?? '', format };
}

function readLimits(settings: ConfigSettings): Limits {
  const given = Object.keys(DEFAULT_LIMITS)
    .map((name) => [name, settings.get(`limits.${name}`)?.value] as const)
    .filter(([, value]) => value !== undefined);
  return { ...DEFAULT_LIMITS, ...Object.fromEntries(given) };
}

/** `config`: paths, or `{path, namespace}`. */
function readEntries(root: FieldReader | null, folder: string): ConfigEntry[] {
  const entries: ConfigEntry[] = [];
  for (const [index, item] of (root?.list('config') ?? []).entries()) {
    if (root === null) break;
    const path = `config[${index}]`;
    const position = root.source.at(item.offset);
    if (item.kind === 'scalar' && typeof item.value === 'string' && item.value !== '') {
      entries.push({ path: resolve(folder, item.value), namespace: 'default', position });
    } else if (item.kind === 'map') {
      const reader = new FieldReader(item, path, root.source, root.problems);
      reader.refuseUnknown(['path', 'namespace'], '"config"');
      const entryPath = reader.text('path') ?? '';
      const namespace = reader.text('namespace') ?? 'default';
      if (entryPath === '') reader.report('path', 'missing_field', 'the entry has no path', 'add path');
      if (!/^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/.test(namespace)) {
        reader.reportValue(
          'namespace',
          'bad_value',
          `"${shown(namespace)}" is not a namespace`,
          'use a-z, 0-9 and "-"',
        );
      }
      entries.push({ path: resolve(folder, entryPath), namespace, position });
    } else {
      root.reportAt(
        item,
        path,
        'wrong_type',
        `${describe(item)} is not a path`,
        'write a path, or {path, namespace}',
      );
    }
  }
  return entries;
}

function listenAddress(settings: ConfigSettings, section: string): ListenAddress {
  return { bind: settings.text(`${section}.bind`) ?? '', port: settings.number(`${section}.port`) ?? 0 };
}

function required(settings: ConfigSettings, path: string): string {
  const value = settings.text(path);
  if (value === null && !settings.isWritten(path))
    settings.report(path, 'missing_field', `${path} is missing`, 'add it');
  return value ?? '';
}

function isEndpoint(value: unknown): value is Endpoint {
  return typeof value === 'object' && value !== null && 'port' in value && typeof value.port === 'number';
}

function isLabels(value: unknown): value is Readonly<Record<string, string>> {
  return typeof value === 'object' && value !== null && !isEndpoint(value);
}
