/**
 * agent.yaml, environment and flags → one checked configuration of the SDS server of one workload, or every reason
 * why there is none.
 */
import { formatEndpoint } from '../core/address.ts';
import { AGENT_KEYS } from './agent-keys.ts';
import { listenAddress } from './check-listeners.ts';
import { CERTIFICATE_KEYS } from './config-key.ts';
import type { ConfigSettings } from './config-settings.ts';
import type { Endpoint } from './config-values.ts';
import type { FieldReader } from './field-reader.ts';
import { describe } from './field-reader.ts';
import type { ListenAddress } from './listen-address.ts';
import { loadSettings, parseSettings } from './load-settings.ts';
import type { LoadedSettings, SettingsForm, SettingsInput, SettingsSource } from './load-settings.ts';

/** All paths are absolute, all defaults filled in. */
export interface AgentConfig {
  /** The file that was read. */
  readonly file: string;
  readonly workload: { readonly namespace: string; readonly serviceAccount: string };
  /** `mode` as a number, 0600 is 384; `uids`: peers that may connect; empty: the mode decides. */
  readonly socket: { readonly path: string; readonly mode: number; readonly uids: readonly number[] };
  /** `address` is HOST:PORT, IPv6 in brackets. */
  readonly ca: { readonly address: string; readonly root: string; readonly serverName: string };
  /** null: the authorization metadata of the SDS stream. */
  readonly tokenFile: string | null;
  readonly certificate: {
    readonly ttlMs: number;
    readonly key: (typeof CERTIFICATE_KEYS)[number];
    /** Share of the lifetime after which it is renewed. */
    readonly renewAt: number;
    /** Moves renewAt either way; renewAt ± jitter stays between 0 and 1. */
    readonly jitter: number;
  };
  /** Roots that are added to the CA's; null: none. Watched. */
  readonly trustBundleFile: string | null;
  /** null: no listener. agent.yaml cannot say so; a demo in one process can. */
  readonly readiness: ListenAddress | null;
}

const FORM: SettingsForm<AgentConfig> = { fileName: 'agent.yaml', keys: AGENT_KEYS, build: buildConfig };

/** The largest user id; the next one means "none" to the system. */
const MAX_UID = 4_294_967_294;

/** Reads and checks an agent.yaml. Never throws for what it holds. */
export function loadAgentConfig(input: SettingsInput): LoadedSettings<AgentConfig> {
  return loadSettings(FORM, input);
}

/** The same for a text that is in memory already; `input.file` says where it would stand. */
export function parseAgentConfig(text: string, input: SettingsInput): LoadedSettings<AgentConfig> {
  return parseSettings(FORM, text, input);
}

function buildConfig({ settings, root, file }: SettingsSource): AgentConfig {
  settings.refuseUnusable();
  const config: AgentConfig = {
    file,
    workload: {
      namespace: settings.required('workload.namespace'),
      serviceAccount: settings.required('workload.serviceAccount'),
    },
    socket: {
      path: settings.required('socket.path'),
      mode: settings.number('socket.mode') ?? 0,
      uids: readUids(root),
    },
    ca: readCa(settings),
    tokenFile: settings.text('token.file'),
    certificate: {
      ttlMs: settings.number('certificate.ttl') ?? 0,
      key: CERTIFICATE_KEYS.find((name) => name === settings.text('certificate.key')) ?? 'ecdsa-p256',
      renewAt: settings.number('certificate.renewAt') ?? 0,
      jitter: settings.number('certificate.jitter') ?? 0,
    },
    trustBundleFile: settings.text('trustBundle.file'),
    readiness: listenAddress(settings, 'readiness'),
  };
  checkTogether(settings, config);
  return config;
}

function readCa(settings: ConfigSettings): AgentConfig['ca'] {
  const serverName = settings.text('ca.serverName') ?? '';
  if (settings.isWritten('ca.kubernetesCsr')) {
    if (settings.isWritten('ca.address')) {
      const message = 'ca has address and kubernetesCsr';
      settings.report('ca.address', 'conflict', message, 'keep exactly one of them');
    }
    return { address: '', root: settings.text('ca.root') ?? '', serverName };
  }
  const endpoint = settings.get('ca.address')?.value;
  if (endpoint === undefined && !settings.isWritten('ca.address')) {
    const fix = 'add it, like 127.0.0.1:15012';
    settings.report('ca.address', 'missing_field', 'ca.address is missing', fix);
  }
  const address = isEndpoint(endpoint) ? formatEndpoint(endpoint.host, endpoint.port) : '';
  return { address, root: settings.required('ca.root'), serverName };
}

function readUids(root: FieldReader | null): number[] {
  const socket = root?.node('socket')?.kind === 'map' ? root.object('socket') : null;
  const uids: number[] = [];
  for (const [index, item] of (socket?.list('uids') ?? []).entries()) {
    const isWhole = item.kind === 'scalar' && /^(?:0|[1-9]\d{0,9})$/.test(item.source);
    const uid = isWhole && typeof item.value === 'number' ? item.value : -1;
    if (uid >= 0 && uid <= MAX_UID) {
      uids.push(uid);
      continue;
    }
    const message = `${describe(item)} is not a user id`;
    const path = `socket.uids[${index}]`;
    socket?.reportAt(item, path, 'bad_value', message, 'write a number like 1000, without quotes');
  }
  return uids;
}

/** Settings that are right alone and wrong together. */
function checkTogether(settings: ConfigSettings, config: AgentConfig): void {
  const { ttlMs, renewAt, jitter } = config.certificate;
  if (ttlMs < 1_000) {
    const message = 'a certificate lives a second at least';
    settings.report('certificate.ttl', 'out_of_range', message, 'write it as 24h');
  }
  if (renewAt === 0) {
    const message = 'renewAt 0 would renew the certificate without end';
    settings.report('certificate.renewAt', 'out_of_range', message, 'write a number like 0.5');
  } else if (renewAt - jitter <= 0 || renewAt + jitter >= 1) {
    const message = `renewAt ${renewAt} ± jitter ${jitter} is not between 0 and 1`;
    settings.report('certificate.jitter', 'conflict', message, 'lower jitter');
  }
  // With a token of the agent's own, whoever may connect gets the private key of the workload.
  const othersMayConnect = (config.socket.mode & 0o002) !== 0;
  if (othersMayConnect && config.socket.uids.length === 0 && config.tokenFile !== null) {
    const message = 'every user of this host may connect to the socket and gets the private key';
    settings.report('socket.mode', 'bad_value', message, 'add socket.uids, or write "0600"', 'warning');
  }
}

function isEndpoint(value: unknown): value is Endpoint {
  return typeof value === 'object' && value !== null && 'port' in value && typeof value.port === 'number';
}
