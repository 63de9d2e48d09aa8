/** `postern explain`: would this request pass, and why; offline, by the rules that the sidecar would enforce. */
import { explainExchange } from '../explain/explain-exchange.ts';
import { loadExplainTarget } from '../explain/explain-target.ts';
import type { Explanation } from '../explain/explanation.ts';
import { printExplanation } from '../explain/print-explanation.ts';
import { readExplainRequests } from '../explain/read-explain-request.ts';
import { EXIT_MISUSE, EXIT_NEGATIVE, EXIT_OK, textFlag, UsageError, wantsJson } from './command.ts';
import type { Command } from './command.ts';
import { JWKS_FLAG, readStandardInput, readTextFile, reportFindings } from './explain-inputs.ts';
import { readTargetFlags, WORKLOAD_FLAGS } from './workload-flags.ts';

export const explainCommand: Command = {
  name: 'explain',
  summary: 'Say whether a request would pass, and which policy, rule and field decide it, without sending it',
  usage:
    '--config PATH… --workload NAMESPACE/NAME --request FILE|- [--labels k=v,k=v] [--service-account SA] ' +
    '[--jwks ISSUER=FILE] [--output json]',
  example:
    'postern explain --config ./mesh --workload foo/httpbin --labels app=httpbin --request request.yaml',
  takesPositionals: true,
  flags: {
    ...WORKLOAD_FLAGS,
    request: {
      type: 'string',
      value: 'FILE|-',
      meaning: 'YAML documents, one a request; - reads standard input',
    },
    jwks: JWKS_FLAG,
    output: {
      type: 'string',
      value: 'json',
      meaning: 'print JSON: an object, or an array for several requests',
    },
  },
  more: () =>
    'A request: {to: {port: 8080}, from: {principal: cluster.local/ns/foo/sa/sleep}, request: {method: GET, path: /info}};\n' +
    'also from: plaintext, tls: {sni, alpn}, jwt: {claims} or {token}, extAuthz: allow|deny|error, tcp: true.\n' +
    'Exit 0 if all are allowed, 1 if one is denied or undecided.',
  async run(parsed) {
    const json = wantsJson(parsed);
    const input = readTargetFlags(parsed, 'explain');
    const requestFile = textFlag(parsed, 'request');
    if (requestFile === undefined) throw new UsageError('Cannot explain nothing: add --request FILE');
    const text = requestFile === '-' ? await readStandardInput() : readTextFile(requestFile);
    const { problems, requests } = readExplainRequests(text, requestFile === '-' ? '<stdin>' : requestFile);
    const loaded = loadExplainTarget(input);
    const unusable = reportFindings([...problems, ...loaded.problems]);
    if (!loaded.hasWorkload && !unusable) {
      throw new UsageError('Cannot explain without a workload: add --workload NAMESPACE/NAME');
    }
    if (unusable || loaded.target === null) return EXIT_MISUSE;
    const explanations: Explanation[] = [];
    for (const request of requests) explanations.push(await explainExchange(loaded.target, request));
    process.stdout.write(json ? asJson(explanations) : explanations.map(printExplanation).join('\n'));
    return explanations.every(({ verdict }) => verdict === 'allow') ? EXIT_OK : EXIT_NEGATIVE;
  },
};

function asJson(explanations: readonly Explanation[]): string {
  return `${JSON.stringify(explanations.length === 1 ? explanations[0] : explanations, null, 2)}\n`;
}
