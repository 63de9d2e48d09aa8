/**
 * The README's long tables as the program itself would write them, and how to find, compare and replace them.
 *
 * A table stands between `<!-- NAME:start -->` and `<!-- NAME:end -->`; widths of columns mean nothing.
 */
import {
  createAdminEndpoints,
  createMetricsEndpoints,
  createReadinessEndpoints,
} from '../../src/admin-endpoints.ts';
import type { AdminSources } from '../../src/admin-endpoints.ts';
import type { Command } from '../../src/cli/command.ts';
import { AGENT_KEYS } from '../../src/config/agent-keys.ts';
import { CA_KEYS } from '../../src/config/ca-keys.ts';
import { CONFIG_KEYS, environmentName } from '../../src/config/config-keys.ts';
import type { ConfigKey } from '../../src/config/config-keys.ts';
import { ERROR_CODES } from '../../src/core/errors.ts';
import { DEFAULT_LIMITS, LIMIT_MEANINGS } from '../../src/core/limits.ts';
import { DEFAULT_JSON_FORMAT } from '../../src/observe/access-log-format.ts';
import type { EndpointTable } from '../../src/observe/admin-server.ts';
import * as names from '../../src/observe/metric-names.ts';
import type { MetricName, RecordName } from '../../src/observe/metric-names.ts';
import * as policyNames from '../../src/observe/policy-metric-names.ts';

/** Cells by row; the first row is the heading. */
export type Table = readonly (readonly string[])[];

const code = (text: string): string => `\`${text}\``;
const codeOrNone = (text: string | null): string => (text === null ? '–' : code(text));

export function allTables(commands: readonly Command[]): Readonly<Record<string, Table>> {
  return {
    commands: commandTable(commands),
    settings: settingTable(CONFIG_KEYS),
    'agent-settings': settingTable(AGENT_KEYS),
    'ca-settings': settingTable(CA_KEYS),
    limits: limitTable(),
    codes: codeTable(),
    metrics: metricTable(),
    endpoints: endpointTable(),
    'access-log': accessLogTable(),
  };
}

/** Flags that are settings of postern.yaml, agent.yaml or ca.yaml are in the tables of settings. */
function commandTable(commands: readonly Command[]): Table {
  const settings = new Set([...CONFIG_KEYS, ...AGENT_KEYS, ...CA_KEYS].map(({ path }) => path));
  const rows = commands.flatMap((command) => [
    [code(`postern ${command.name}`), '', command.summary],
    ...Object.entries(command.flags)
      // `--config` of `proxy` names the file, and is not the setting of that name.
      .filter(([name]) => name === 'config' || !settings.has(name))
      .map(([name, flag]) => [
        '',
        code(flag.value === undefined ? `--${name}` : `--${name} ${flag.value}`),
        flag.meaning,
      ]),
  ]);
  return [['Command', 'Flag', 'What it does'], ...rows];
}

function settingTable(keys: readonly ConfigKey[]): Table {
  const rows = keys
    .filter(({ path }) => !path.startsWith('limits.'))
    .map((key) => [
      code(key.path),
      codeOrNone(key.default),
      codeOrNone(environmentName(key)),
      meaningOf(key),
    ]);
  return [['Setting', 'Default', 'Environment', 'Meaning'], ...rows];
}

function meaningOf(key: ConfigKey): string {
  const values = key.values === undefined ? '' : ` (${key.values.map(code).join(' or ')})`;
  return `${key.meaning}${values}${key.notUsableYet === true ? '; **an error in this version**' : ''}`;
}

function limitTable(): Table {
  const defaults: Readonly<Record<string, number | null>> = { ...DEFAULT_LIMITS };
  const rows = Object.entries(LIMIT_MEANINGS).map(([name, meaning]) => {
    const key = CONFIG_KEYS.find(({ path }) => path === `limits.${name}`);
    if (key === undefined) throw new Error(`limits.${name} is no setting`);
    return [
      code(name),
      codeOrNone(defaults[name]?.toString() ?? null),
      codeOrNone(environmentName(key)),
      meaning,
    ];
  });
  return [['Limit', 'Default', 'Environment', 'What it bounds'], ...rows];
}

function codeTable(): Table {
  const rows = Object.entries(ERROR_CODES).map(([name, { status, flag, source, meaning }]) => [
    code(name),
    source,
    status === 0 ? '–' : String(status),
    flag === '-' ? '–' : code(flag),
    meaning,
  ]);
  return [['Code', 'Source', 'Status', 'Flag', 'Meaning'], ...rows];
}

function metricTable(): Table {
  const rows = [
    ...scopeRows('listener.BIND_PORT.', 'envoy_listener_', names.LISTENER_METRICS),
    ...recordRows('listener.BIND_PORT.', names.LISTENER_RECORDS),
    ...scopeRows('http.inbound_BIND_PORT.', 'envoy_http_', names.HTTP_METRICS),
    ...recordRows('http.inbound_BIND_PORT.', names.HTTP_RECORDS),
    ...rbacRows('http.inbound_BIND_PORT.', 'envoy_http_inbound_BIND_PORT_rbac'),
    ...scopeRows('http.inbound_BIND_PORT.', 'envoy_http_', policyNames.JWT_METRICS),
    ...scopeRows('http.inbound_BIND_PORT.', 'envoy_http_', policyNames.EXT_AUTHZ_METRICS),
    ...rbacRows('tcp.', 'envoy_tcp_rbac'),
    ...scopeRows('ext_authz.tcp.', 'envoy_ext_authz_', policyNames.TCP_EXT_AUTHZ_METRICS),
    ...scopeRows('tcp.CLUSTER.', 'envoy_tcp_', names.TUNNEL_METRICS),
    ...scopeRows('cluster.CLUSTER.', 'envoy_cluster_', names.CLUSTER_METRICS),
    ...scopeRows('cluster.CLUSTER.', 'envoy_cluster_', policyNames.CLUSTER_EXT_AUTHZ_METRICS),
    ...scopeRows('server.', 'postern_', names.PROCESS_METRICS),
    ...scopeRows('', '', names.CONTROL_METRICS),
    ...[names.ISTIO_REQUESTS, ...Object.values(names.ISTIO_TCP_METRICS)].map(({ metric, help }) => [
      '–',
      code(metric),
      'counter',
      help,
    ]),
    ['–', code(names.ISTIO_DURATION.metric), 'histogram', names.ISTIO_DURATION.help],
  ];
  return [['In `/stats`', 'In Prometheus', 'Kind', 'Meaning'], ...rows];
}

function scopeRows(stat: string, metric: string, table: Readonly<Record<string, MetricName>>): string[][] {
  return Object.values(table).map((name) => [
    code(stat + name.stat),
    code(metric + (name.metric ?? name.stat.replaceAll('.', '_')) + labelsOf(name.labels)),
    name.type,
    name.help,
  ]);
}

function rbacRows(stat: string, metric: string): string[][] {
  return [
    ...scopeRows(`${stat}rbac.`, metric, policyNames.RBAC_METRICS),
    ...scopeRows(`${stat}rbac.`, 'postern_', policyNames.DRY_RUN_METRICS),
  ];
}

function labelsOf(labels: Readonly<Record<string, string>> | undefined): string {
  if (labels === undefined) return '';
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${value}"`);
  return `{${pairs.join(',')}}`;
}

function recordRows(stat: string, table: Readonly<Record<string, RecordName>>): string[][] {
  return Object.values(table).map((name) => [
    code(`${stat}${name.stat}.NAME`),
    code(`${name.metric}{${name.label}="NAME"}`),
    'counter',
    name.help,
  ]);
}

function endpointRows(server: string, endpoints: EndpointTable): string[][] {
  return Object.entries(endpoints).map(([path, { method, help }]) => [
    server,
    code(`${method} ${path}`),
    help,
  ]);
}

function endpointTable(): Table {
  // The tables are made of functions that are not called here.
  const sources = {} as AdminSources;
  return [
    ['Server', 'Endpoint', 'Answer'],
    ...endpointRows('admin', createAdminEndpoints(sources)),
    ...endpointRows('readiness', createReadinessEndpoints(sources)),
    ...endpointRows('metrics', createMetricsEndpoints(sources)),
  ];
}

function accessLogTable(): Table {
  const rows = Object.entries(DEFAULT_JSON_FORMAT).map(([key, operator]) => [code(key), code(operator)]);
  return [['JSON key', 'Operator'], ...rows];
}

function rowText(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

export function renderTable(table: Table): string {
  const cells = table.map((row) => row.map((cell) => cell.replaceAll('|', String.raw`\|`)));
  const [heading = [], ...rows] = cells;
  return [rowText(heading), rowText(heading.map(() => '---')), ...rows.map(rowText)].join('\n');
}

/** The text between the markers of `name`, or null. */
export function markedPart(document: string, name: string): string | null {
  const [, after] = document.split(`<!-- ${name}:start -->`);
  const end = after?.indexOf(`<!-- ${name}:end -->`) ?? -1;
  return after === undefined || end === -1 ? null : after.slice(0, end).trim();
}

export function replaceMarkedPart(document: string, name: string, text: string): string {
  const part = markedPart(document, name);
  if (part === null) throw new Error(`there is no <!-- ${name}:start --> … <!-- ${name}:end -->`);
  const [before = '', after = ''] = document.split(`<!-- ${name}:start -->`);
  const rest = after.slice(after.indexOf(`<!-- ${name}:end -->`));
  return `${before}<!-- ${name}:start -->\n\n${text}\n\n${rest}`;
}

/** Cells of a Markdown table, the line under the heading left out. */
export function parseTable(text: string): Table {
  const rows = text.split('\n').filter((line) => line.startsWith('|'));
  return rows
    .filter((_, at) => at !== 1)
    .map((row) =>
      row
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll(String.raw`\|`, '|')),
    );
}
