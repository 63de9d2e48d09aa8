/** `explain` of the library: the request as a value instead of a file, the answer as `--output json` prints it. */
import type { Problem } from '../config/problem.ts';
import type { PlanWarning } from '../mesh/plan-warning.ts';
import { explainExchange } from './explain-exchange.ts';
import type { ProviderAnswer } from './explain-request.ts';
import { loadExplainTarget } from './explain-target.ts';
import type { TargetWorkload } from './explain-target.ts';
import type { Explanation } from './explanation.ts';
import { readExplainRequests } from './read-explain-request.ts';

/** A document of a request file; every key may be left out. */
export interface RequestDocument {
  readonly to?: { readonly port?: number; readonly ip?: string };
  readonly from?:
    | 'plaintext'
    | { readonly principal?: string; readonly sans?: readonly string[]; readonly ip?: string };
  readonly tls?: { readonly sni?: string; readonly alpn?: readonly string[] };
  readonly request?: {
    readonly method?: string;
    readonly path?: string;
    readonly host?: string;
    readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  };
  readonly jwt?: { readonly claims: Readonly<Record<string, unknown>> } | { readonly token: string };
  readonly extAuthz?: ProviderAnswer | Readonly<Record<string, ProviderAnswer>>;
  readonly tcp?: boolean;
}

export interface ExplainOptions {
  /** Istio documents, folders of them, or a postern.yaml, which gives workload and documents. */
  readonly config?: string | readonly string[];
  /** Istio documents as YAML text; instead of `config`. */
  readonly documents?: string;
  /** Who receives the request. `serviceAccount` is the name where it is not stated. */
  readonly workload?: TargetWorkload;
  readonly request: RequestDocument;
  /** JSON Web Key Sets by issuer, for those that a sidecar would fetch. */
  readonly jwks?: Readonly<Record<string, string>>;
}

/**
 * Says whether a request would pass, and which policy, rule and field decide it: by the rules that the sidecar would
 * enforce, without sending anything. Throws with every reason where documents or request cannot be used.
 *
 * @example
 * const { verdict, reason } = await explain({
 *   config: './mesh',
 *   workload: { namespace: 'foo', name: 'httpbin', labels: { app: 'httpbin' } },
 *   request: { from: { principal: 'cluster.local/ns/foo/sa/sleep' }, request: { path: '/admin' } },
 * });
 */
export async function explain(options: ExplainOptions): Promise<Explanation> {
  const { config = [], documents = '', jwks = {}, workload = null } = options;
  if (config.length > 0 === (documents !== '')) {
    throw new TypeError('Cannot explain: give either config or documents');
  }
  // One reader for files and values: the same keys, the same checks.
  const read = readExplainRequests(JSON.stringify(options.request), 'request');
  const loaded = loadExplainTarget({
    paths: typeof config === 'string' ? [config] : config,
    text: documents,
    folder: process.cwd(),
    workload,
    jwks: new Map(Object.entries(jwks)),
  });
  const errors = [...read.problems, ...loaded.problems].filter(({ severity }) => severity === 'error');
  if (errors.length > 0) throw new TypeError(`Cannot explain:\n${errors.map(lineOf).join('\n')}`);
  if (loaded.target === null) throw new TypeError('Cannot explain: workload is missing');
  return explainExchange(loaded.target, read.requests[0]!);
}

function lineOf({ column, file, fix, line, message, path }: Problem | PlanWarning): string {
  return `${file}:${line}:${column}: ${path === '' ? '' : `${path}: `}${message}; ${fix}`;
}
