/**
 * What requests are judged against: documents and one workload → its snapshot with compiled policies, exactly as the
 * sidecar would load them, or every reason why there is none.
 */
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { recogniseConfigFile } from '../config/config-file-kind.ts';
import { CONFIG_LIMITS } from '../config/config-limits.ts';
import type { ConfigEntry } from '../config/document-files.ts';
import { loadDocuments, loadDocumentText } from '../config/documents.ts';
import { loadPosternConfig } from '../config/postern-config.ts';
import type { PosternConfig } from '../config/postern-config.ts';
import type { Problem } from '../config/problem.ts';
import type { Resources } from '../config/resources.ts';
import { parseYaml } from '../config/yaml-tree.ts';
import { DEFAULT_LIMITS } from '../core/limits.ts';
import { JwtKeySets } from '../filters/jwt-key-sets.ts';
import { buildSnapshot } from '../mesh/build-snapshot.ts';
import type { PlanWarning } from '../mesh/plan-warning.ts';
import type { PortPlan, Snapshot } from '../mesh/plan.ts';
import { compilePolicies } from '../policy/compile-policies.ts';
import type { CompiledPolicies } from '../policy/decision.ts';

export interface ExplainTarget {
  readonly snapshot: Snapshot;
  readonly policies: CompiledPolicies;
  /** Those whose text was given; others are not at hand. */
  readonly keySets: JwtKeySets;
  /** What a mesh client says to a port; '' where no Service names it. */
  readonly sniOf: (plan: PortPlan) => string;
}

/** `serviceAccount` is the name where it is not stated. */
export interface TargetWorkload {
  readonly namespace: string;
  readonly name: string;
  readonly serviceAccount?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface TargetInput {
  /** Files and folders of Istio documents; a postern.yaml gives its workload and documents. */
  readonly paths: readonly string[];
  /** Documents that are in no file; '' for none. */
  readonly text: string;
  /** What `paths` are relative to. */
  readonly folder: string;
  /** null: that of the postern.yaml among `paths`. Labels and account that it leaves out are also that one's. */
  readonly workload: TargetWorkload | null;
  /** Key sets by issuer: the text that would be fetched. */
  readonly jwks: ReadonlyMap<string, string>;
}

export interface LoadedTarget {
  /** null: some problem is an error, or no workload is stated. */
  readonly target: ExplainTarget | null;
  readonly problems: readonly (Problem | PlanWarning)[];
  readonly hasWorkload: boolean;
}

/** Never throws for what files hold. */
export function loadExplainTarget(input: TargetInput): LoadedTarget {
  const problems: (Problem | PlanWarning)[] = [];
  const entries: ConfigEntry[] = [];
  let config: PosternConfig | null = null;
  for (const path of input.paths.map((one) => resolve(input.folder, one))) {
    if (!isPosternConfig(path)) {
      entries.push({ path, namespace: 'default' });
      continue;
    }
    // A file is judged as it is written: the environment of whoever asks is not the sidecar's.
    const loaded = loadPosternConfig({ file: path, environment: {}, workingDirectory: input.folder });
    problems.push(...loaded.problems);
    config = loaded.config;
    entries.push(...(config?.config ?? []));
  }
  const documents = input.text === '' ? loadDocuments(entries) : loadDocumentText(input.text, 'documents');
  problems.push(...documents.problems);
  const workload = workloadOf(input.workload, config);
  if (workload === null || problems.some(({ severity }) => severity === 'error')) {
    return { target: null, problems, hasWorkload: workload !== null };
  }
  const { resources } = documents;
  const { snapshot, warnings } = buildSnapshot({
    resources,
    workload,
    limits: config?.limits ?? DEFAULT_LIMITS,
    generation: 1,
    appHost: config?.app.host ?? '127.0.0.1',
    accessLog: null,
  });
  problems.push(...warnings);
  const unusable = problems.some(({ severity }) => severity === 'error');
  return {
    target: unusable ? null : createTarget(snapshot, resources, input.jwks),
    problems,
    hasWorkload: true,
  };
}

function createTarget(
  snapshot: Snapshot,
  resources: Resources,
  jwks: ReadonlyMap<string, string>,
): ExplainTarget {
  const keySets = new JwtKeySets();
  const known = snapshot.jwt.keySets.filter(({ issuer }) => jwks.has(issuer));
  keySets.put(known.map(({ issuer, name }) => ({ name, jwks: jwks.get(issuer)! })));
  const policies = compilePolicies(snapshot.authorization, snapshot.trustDomains);
  return { snapshot, policies, keySets, sniOf: (plan) => sniOf(resources, plan) };
}

function workloadOf(
  stated: TargetWorkload | null,
  config: PosternConfig | null,
): Snapshot['workload'] | null {
  if (stated === null) return config?.workload ?? null;
  const { name, namespace } = stated;
  const same =
    config?.workload.namespace === namespace && config.workload.name === name ? config.workload : null;
  return {
    name,
    namespace,
    serviceAccount: stated.serviceAccount ?? same?.serviceAccount ?? name,
    labels: stated.labels ?? same?.labels ?? {},
  };
}

/** Told by content; a file of thousands of policies is not parsed for that. */
function isPosternConfig(path: string): boolean {
  try {
    const stat = statSync(path);
    if (!stat.isFile() || stat.size > CONFIG_LIMITS.maxFileBytes) return false;
    const text = readFileSync(path, 'utf8');
    if (/^\s*["']?(?:apiVersion|kind)["']?\s*:/m.test(text)) return false;
    const [tree] = parseYaml(text).documents;
    return tree !== undefined && recogniseConfigFile(tree) === 'postern.yaml';
  } catch {
    // Whoever reads it as documents says what is wrong.
    return false;
  }
}

/** `outbound_.8000_._.httpbin.foo.svc.cluster.local`. */
function sniOf({ services }: Resources, { port, service }: PortPlan): string {
  if (service === null) return '';
  const found = services.find(
    ({ name, namespace }) => name === service.name && namespace === service.namespace,
  );
  const servicePort = found?.ports.find(({ targetPort }) => targetPort === port);
  if (servicePort === undefined) return '';
  return `outbound_.${servicePort.port}_._.${service.name}.${service.namespace}.svc.cluster.local`;
}
