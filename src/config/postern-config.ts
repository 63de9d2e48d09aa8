/**
 * postern.yaml, environment and flags → one checked configuration of a sidecar, or every reason why there is none.
 */
import { resolve } from 'node:path';
import { DEFAULT_LIMITS } from '../core/limits.ts';
import type { Limits } from '../core/limits.ts';
import { bindOf, checkAdminBind, checkPorts, listenAddress, reaches } from './check-listeners.ts';
import { CONFIG_KEYS } from './config-keys.ts';
import type { ConfigSettings } from './config-settings.ts';
import type { Endpoint } from './config-values.ts';
import type { ConfigEntry } from './document-files.ts';
import { formatDuration } from './duration.ts';
import { describe, FieldReader } from './field-reader.ts';
import { isLabel } from './istio-names.ts';
import type { ListenAddress } from './listen-address.ts';
import { loadSettings, parseSettings } from './load-settings.ts';
import type { LoadedSettings, SettingsForm, SettingsInput, SettingsSource } from './load-settings.ts';
import { ipBlockFault, readValues } from './policy-values.ts';
import { shown } from './yaml-tree.ts';

export type { ListenAddress } from './listen-address.ts';

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
  /** Blocks, or single addresses, that key sets may come from though they are loopback, link-local or our own. */
  readonly jwks: { readonly allow: readonly string[] };
  readonly limits: Limits;
  readonly drainMs: number;
  readonly drainMaxMs: number;
}

export type PosternConfigInput = SettingsInput;
export type LoadedPosternConfig = LoadedSettings<PosternConfig>;

const FORM: SettingsForm<PosternConfig> = {
  fileName: 'postern.yaml',
  keys: CONFIG_KEYS,
  build: buildConfig,
};

/** Reads and checks a postern.yaml. Never throws for what it holds. */
export function loadPosternConfig(input: PosternConfigInput): LoadedPosternConfig {
  return loadSettings(FORM, input);
}

/** The same for a text that is in memory already; `input.file` says where it would stand. */
export function parsePosternConfig(text: string, input: PosternConfigInput): LoadedPosternConfig {
  return parseSettings(FORM, text, input);
}

function buildConfig({ settings, root, file, folder }: SettingsSource): PosternConfig | null {
  const config = readEntries(root, folder);
  const identity = readIdentity(settings);
  const namespace = settings.required('workload.namespace');
  const serviceAccount = settings.required('workload.serviceAccount');
  settings.refuseUnusable();
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
    jwks: { allow: readJwksAllow(root) },
    limits: readLimits(settings),
    drainMs: settings.number('drain') ?? 0,
    drainMaxMs: settings.number('drainMax') ?? 0,
  };
  checkTogether(settings, built);
  if (root?.hasNoItems('config') !== false) {
    const message = 'no Istio documents are listed: every port takes plaintext and mTLS';
    settings.report('config', 'empty', message, 'add config: [./mesh]', 'warning');
  }
  return identity === null ? null : built;
}

function readIdentity(settings: ConfigSettings): PosternConfig['identity'] | null {
  const sources = ['sds', 'files', 'workloadApi'].filter((name) => settings.isWritten(`identity.${name}`));
  const [source] = sources;
  if (source === undefined) {
    const fix = 'add identity.sds, or identity.files with certificateChain, privateKey and trustBundle';
    settings.report('identity', 'missing_field', 'the sidecar has no identity', fix);
    return null;
  }
  if (sources.length > 1) {
    const message = `identity has ${sources.join(' and ')}`;
    settings.report('identity', 'conflict', message, 'keep exactly one of them');
    return null;
  }
  for (const name of ['certificateName', 'bundleName', 'tokenFile']) {
    if (source !== 'sds' && settings.get(`identity.${name}`) !== null) {
      settings.report(`identity.${name}`, 'conflict', `${name} is for identity.sds only`, 'remove it');
    }
  }
  if (source === 'sds') return readSds(settings);
  if (source === 'workloadApi') return null;
  return {
    kind: 'files',
    certificateChain: settings.required('identity.files.certificateChain'),
    privateKey: settings.required('identity.files.privateKey'),
    trustBundle: settings.required('identity.files.trustBundle'),
  };
}

function readSds(settings: ConfigSettings): SdsIdentity {
  const certificateName = settings.text('identity.certificateName') ?? '';
  const bundleName = settings.text('identity.bundleName') ?? '';
  if (certificateName === bundleName) {
    const message = `certificateName and bundleName are both "${shown(bundleName)}"`;
    settings.report(
      'identity.bundleName',
      'conflict',
      message,
      'write the name of the trust bundle, like ROOTCA',
    );
  }
  return {
    kind: 'sds',
    socket: settings.text('identity.sds') ?? '',
    certificateName,
    bundleName,
    tokenFile: settings.text('identity.tokenFile'),
  };
}

const PORTS = ['intercept.port', 'intercept.inboundPort', 'admin.port', 'readiness.port', 'metrics.port'];

/** Settings that are right alone and wrong together. */
function checkTogether(settings: ConfigSettings, config: PosternConfig): void {
  checkAdminBind(settings);
  if (config.drainMs > config.drainMaxMs) {
    const message = `drain ${formatDuration(config.drainMs)} is more than drainMax ${formatDuration(config.drainMaxMs)}`;
    settings.report('drain', 'conflict', message, 'lower drain or raise drainMax');
  }
  checkPorts(settings, PORTS);
  const { direct } = config.intercept;
  for (const path of PORTS) {
    if (direct === null || direct.port !== settings.number(path)) continue;
    if (!reaches(direct.host, bindOf(settings, path))) continue;
    // To the listener itself each connection would make another one; to the admin server, open it to all.
    const message = `intercept.direct is ${path} of this sidecar itself`;
    settings.report('intercept.direct', 'conflict', message, 'write the HOST:PORT of the app');
  }
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

function readJwksAllow(root: FieldReader | null): string[] {
  const jwks = root?.node('jwks')?.kind === 'map' ? root.object('jwks') : null;
  return jwks === null ? [] : readValues(jwks, 'allow', ipBlockFault);
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
      if (!isLabel(namespace)) {
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

function isEndpoint(value: unknown): value is Endpoint {
  return typeof value === 'object' && value !== null && 'port' in value && typeof value.port === 'number';
}

function isLabels(value: unknown): value is Readonly<Record<string, string>> {
  return typeof value === 'object' && value !== null && !isEndpoint(value);
}
