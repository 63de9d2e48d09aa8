/**
 * ca.yaml, environment and flags → one checked configuration of the certificate authority, or every reason why there
 * is none.
 */
import { resolve } from 'node:path';
import { CA_KEYS } from './ca-keys.ts';
import { checkAdminBind, checkPorts, listenAddress } from './check-listeners.ts';
import { CERTIFICATE_KEYS } from './config-key.ts';
import type { ConfigSettings } from './config-settings.ts';
import { isHost } from './config-values.ts';
import { formatDuration } from './duration.ts';
import type { FieldReader } from './field-reader.ts';
import type { ListenAddress } from './listen-address.ts';
import { loadSettings, parseSettings } from './load-settings.ts';
import type { LoadedSettings, SettingsForm, SettingsInput, SettingsSource } from './load-settings.ts';
import { shown } from './yaml-tree.ts';

/** A verifier of caller tokens; those of a CA are tried in order. */
export interface DevelopmentTokens {
  readonly kind: 'development';
  readonly issuer: string;
  /** SPKI PEM file. */
  readonly publicKey: string;
  readonly audiences: readonly string[];
}

/** All paths are absolute, all defaults filled in. */
export interface CaConfig {
  /** The file that was read. */
  readonly file: string;
  /** `names`: DNS names and IP addresses of the server certificate, besides Istio's own and localhost. */
  readonly listen: ListenAddress & { readonly names: readonly string[] };
  readonly trustDomain: string;
  /** null: a self-signed root in memory only. */
  readonly rootFolder: string | null;
  readonly key: (typeof CERTIFICATE_KEYS)[number];
  readonly ttl: { readonly defaultMs: number; readonly maxMs: number };
  /** At least one. */
  readonly tokens: readonly DevelopmentTokens[];
  /** null: no listener. ca.yaml cannot say so; a demo in one process can. */
  readonly admin: ListenAddress | null;
}

const FORM: SettingsForm<CaConfig> = { fileName: 'ca.yaml', keys: CA_KEYS, build: buildConfig };

const TOKEN_KINDS = ['development', 'oidc', 'tokenReview'] as const;
/** Understood, so that a file of a later version is refused for what it is. */
const TOKEN_FIELDS: Readonly<Record<(typeof TOKEN_KINDS)[number], readonly string[]>> = {
  development: ['issuer', 'publicKey', 'audiences'],
  oidc: ['issuer', 'jwksUri', 'audiences'],
  tokenReview: ['server', 'ca', 'tokenFile', 'audiences'],
};
/** What `postern token` writes. */
const DEVELOPMENT_ISSUER = 'https://postern.invalid';
const DEFAULT_AUDIENCES = ['istio-ca'];
const DEVELOPMENT_FIX = 'write development: {publicKey: ./ca/token.key.pub}';

/** Reads and checks a ca.yaml. Never throws for what it holds. */
export function loadCaConfig(input: SettingsInput): LoadedSettings<CaConfig> {
  return loadSettings(FORM, input);
}

/** The same for a text that is in memory already; `input.file` says where it would stand. */
export function parseCaConfig(text: string, input: SettingsInput): LoadedSettings<CaConfig> {
  return parseSettings(FORM, text, input);
}

function buildConfig({ settings, root, file, folder }: SettingsSource): CaConfig {
  settings.refuseUnusable();
  const config: CaConfig = {
    file,
    listen: { ...listenAddress(settings, 'listen'), names: readNames(root) },
    trustDomain: settings.text('trustDomain') ?? '',
    rootFolder: settings.text('root.selfSigned.folder'),
    key: CERTIFICATE_KEYS.find((name) => name === settings.text('key')) ?? 'ecdsa-p256',
    ttl: { defaultMs: settings.number('ttl.default') ?? 0, maxMs: settings.number('ttl.max') ?? 0 },
    tokens: readTokens(root, settings, folder),
    admin: listenAddress(settings, 'admin'),
  };
  checkTogether(settings, config);
  return config;
}

function readNames(root: FieldReader | null): string[] {
  const listen = root?.node('listen')?.kind === 'map' ? root.object('listen') : null;
  const names = listen?.texts('names') ?? [];
  for (const [index, name] of names.entries()) {
    const node = listen?.list('names')?.[index];
    if (node === undefined || isHost(name)) continue;
    const message = `"${shown(name)}" is neither a DNS name nor an IP address`;
    listen?.reportAt(
      node,
      `listen.names[${index}]`,
      'bad_value',
      message,
      'write a name like ca.example.com',
    );
  }
  return names;
}

function readTokens(root: FieldReader | null, settings: ConfigSettings, folder: string): DevelopmentTokens[] {
  if (root === null || root.hasNoItems('tokens')) {
    const message = 'no tokens are verified: nobody could be given a certificate';
    settings.report('tokens', 'missing_field', message, `add tokens, and there ${DEVELOPMENT_FIX}`);
    return [];
  }
  return root.objects('tokens').flatMap((reader) => readTokenVerifier(reader, folder) ?? []);
}

function readTokenVerifier(reader: FieldReader, folder: string): DevelopmentTokens | null {
  reader.refuseUnknown(TOKEN_KINDS, 'an entry of tokens');
  const kinds = TOKEN_KINDS.filter((kind) => reader.has(kind));
  const [kind] = kinds;
  if (kind === undefined || kinds.length > 1) {
    const message = kind === undefined ? 'the entry says no kind' : `the entry has ${kinds.join(' and ')}`;
    const fix = kind === undefined ? DEVELOPMENT_FIX : 'write an entry for each';
    const code = kind === undefined ? 'missing_field' : 'conflict';
    reader.problems.add('error', code, reader.position, reader.path, message, fix);
    return null;
  }
  const fields = reader.object(kind);
  fields?.refuseUnknown(TOKEN_FIELDS[kind], kind);
  if (kind !== 'development') {
    reader.report(kind, 'not_usable_yet', `this version cannot use ${kind} yet`, DEVELOPMENT_FIX);
    return null;
  }
  return fields === null ? null : readDevelopment(fields, folder);
}

function readDevelopment(fields: FieldReader, folder: string): DevelopmentTokens {
  const publicKey = readText(fields, 'publicKey') ?? '';
  if (!fields.has('publicKey')) {
    const fix = 'add it; postern token --new-key FILE makes FILE.pub';
    fields.report('publicKey', 'missing_field', 'publicKey is missing', fix);
  }
  const audiences = fields.texts('audiences');
  if (audiences.includes('') || (fields.has('audiences') && fields.hasNoItems('audiences'))) {
    fields.report(
      'audiences',
      'bad_value',
      'audiences has none, or an empty one',
      'write [istio-ca] or remove it',
    );
  }
  return {
    kind: 'development',
    issuer: readText(fields, 'issuer') ?? DEVELOPMENT_ISSUER,
    publicKey: publicKey === '' ? '' : resolve(folder, publicKey),
    audiences: fields.has('audiences') ? audiences : DEFAULT_AUDIENCES,
  };
}

/** Text that is not empty. */
function readText(fields: FieldReader, name: string): string | null {
  const text = fields.text(name);
  if (text === null || (text !== '' && !text.includes('\0'))) return text;
  fields.reportValue(name, 'bad_value', `${name} is empty or has a zero byte`, 'write a value, or remove it');
  return null;
}

/** Settings that are right alone and wrong together. */
function checkTogether(settings: ConfigSettings, config: CaConfig): void {
  checkAdminBind(settings);
  checkPorts(settings, ['listen.port', 'admin.port']);
  if (settings.isWritten('root.selfSigned') && settings.isWritten('root.pluggedIn')) {
    const message = 'root has selfSigned and pluggedIn';
    settings.report('root', 'conflict', message, 'keep exactly one of them');
  }
  if (!settings.isWritten('root')) {
    const message = 'the root is kept in memory only: after a restart no certificate of before is trusted';
    const fix = 'add root: {selfSigned: {folder: ./ca}}, or root: {selfSigned: {}} if that is meant';
    settings.report('root', 'empty', message, fix, 'warning');
  }
  const { defaultMs, maxMs } = config.ttl;
  for (const [path, ms] of [
    ['ttl.default', defaultMs],
    ['ttl.max', maxMs],
  ] as const) {
    if (ms >= 1_000) continue;
    settings.report(path, 'out_of_range', 'a certificate lives a second at least', 'write it as 24h');
  }
  if (defaultMs > maxMs) {
    const message = `ttl.default ${formatDuration(defaultMs)} is more than ttl.max ${formatDuration(maxMs)}`;
    settings.report('ttl.default', 'conflict', message, 'lower ttl.default or raise ttl.max');
  }
}
