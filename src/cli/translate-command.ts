/** `postern translate`: a workload's inbound listener as Envoy's configuration, as Istio's control plane would send it. */
import { stringify } from 'yaml';
import { MeshError, whyOf } from '../core/errors.ts';
import type { FetchedKeySet } from '../core/jwt-plan.ts';
import { loadExplainTarget } from '../explain/explain-target.ts';
import type { Snapshot } from '../mesh/plan.ts';
import type { InlineSecrets } from '../translate/downstream-tls.ts';
import { translateInbound } from '../translate/translate-inbound.ts';
import { EXIT_NEGATIVE, EXIT_OK, textFlag, UsageError } from './command.ts';
import type { Command, ParsedArguments } from './command.ts';
import { JWKS_FLAG, reportFindings } from './explain-inputs.ts';
import { readInlineSecrets } from './inline-secrets.ts';
import { readTargetFlags, WORKLOAD_FLAGS } from './workload-flags.ts';

export const translateCommand: Command = {
  name: 'translate',
  summary: 'Print the inbound listener of a workload for Envoy: chains, TLS, RBAC, JWT and ext_authz filters',
  usage:
    '--config PATH… --workload NAMESPACE/NAME [--labels k=v,k=v] [--service-account SA] [--jwks ISSUER=FILE] ' +
    '[--inline-secrets FILE] [--output json|yaml]',
  example: 'postern translate --config ./mesh --workload foo/httpbin --labels app=httpbin --output yaml',
  takesPositionals: true,
  flags: {
    ...WORKLOAD_FLAGS,
    jwks: JWKS_FLAG,
    'inline-secrets': {
      type: 'string',
      value: 'FILE',
      meaning: 'write the certificates, private key included, into the output instead of their SDS names',
    },
    output: { type: 'string', value: 'json|yaml', meaning: 'default json' },
  },
  more: () =>
    'Prints {"inbound": {"8080": {listenerFilters, filterChains, httpFilters, networkFilters}}} as proto3 JSON, by\n' +
    'workload port; "0" is for every port that is not named. httpFilters and networkFilters are those in the chains.\n' +
    'The file of --inline-secrets: {certificateChain: FILE, privateKey: FILE, trustBundle: FILE}, relative to it.\n' +
    'Certificates come by SDS otherwise: default and ROOTCA from the cluster sds-grpc.',
  // oxlint-disable-next-line require-await -- commands are asynchronous
  async run(parsed) {
    const output = outputOf(parsed);
    const input = readTargetFlags(parsed, 'translate');
    const secretsFile = textFlag(parsed, 'inline-secrets');
    let inlineSecrets: InlineSecrets | null = null;
    try {
      if (secretsFile !== undefined) inlineSecrets = readInlineSecrets(secretsFile);
    } catch (thrown) {
      if (!(thrown instanceof MeshError)) throw thrown;
      process.stderr.write(`postern: ${whyOf(thrown)}\n`);
      return EXIT_NEGATIVE;
    }
    const loaded = loadExplainTarget(input);
    if (reportFindings(loaded.problems)) return EXIT_NEGATIVE;
    if (loaded.target === null) {
      throw new UsageError('Cannot translate without a workload: add --workload NAMESPACE/NAME');
    }
    const { snapshot } = loaded.target;
    const translated = translateInbound(snapshot, {
      keySets: keySetsOf(snapshot, input.jwks),
      inlineSecrets,
    });
    process.stdout.write(
      output === 'json'
        ? `${JSON.stringify(translated, null, 2)}\n`
        : stringify(translated, { lineWidth: 0, aliasDuplicateObjects: false }),
    );
    return EXIT_OK;
  },
};

function outputOf(parsed: ParsedArguments): 'json' | 'yaml' {
  const output = textFlag(parsed, 'output') ?? 'json';
  if (output === 'json' || output === 'yaml') return output;
  throw new UsageError(`Cannot print as "${output}": give --output json or --output yaml`);
}

/** Says whose keys are not there: the translation refuses their tokens. */
function keySetsOf({ jwt }: Snapshot, jwks: ReadonlyMap<string, string>): FetchedKeySet[] {
  return jwt.keySets.map(({ issuer, name }) => {
    const keys = jwks.get(issuer) ?? null;
    if (keys === null) {
      process.stderr.write(
        `warning: keys of issuer "${issuer}" are fetched by a sidecar and not by translate: all its tokens are ` +
          `refused; give --jwks ${issuer}=FILE\n`,
      );
    }
    return { name, jwks: keys };
  });
}
