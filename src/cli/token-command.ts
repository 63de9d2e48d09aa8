/** `postern token`: development tokens for service accounts, and the key that signs them. */
import { resolve } from 'node:path';
import { MAX_LIFETIME_MS, parseDuration } from '../config/duration.ts';
import { MeshError, messageOf, whyOf } from '../core/errors.ts';
import { readBounded } from '../identity/read-bounded.ts';
import { isNamespaceName, isServiceAccountName } from '../identity/service-account.ts';
import { DEFAULT_AUDIENCE, signToken, writeTokenKey } from '../identity/token-sign.ts';
import type { Command, ParsedArguments } from './command.ts';
import { EXIT_NEGATIVE, EXIT_OK, textFlag, UsageError } from './command.ts';

const DEFAULT_TTL = '1h';
const SIGNING_FLAGS = ['namespace', 'service-account', 'key', 'audience', 'ttl'];

export const tokenCommand: Command = {
  name: 'token',
  summary: 'Sign a development token for a service account, or make the key for it',
  usage: '--namespace NS --service-account SA --key FILE [--audience istio-ca] [--ttl 1h] | --new-key FILE',
  example: 'postern token --namespace foo --service-account sleep --key ca/token.key > run/token',
  takesPositionals: false,
  flags: {
    namespace: { type: 'string', value: 'NS', meaning: 'namespace of the workload' },
    'service-account': { type: 'string', value: 'SA', meaning: 'service account of the workload' },
    key: { type: 'string', value: 'FILE', meaning: 'private key that --new-key made' },
    audience: {
      type: 'string',
      value: 'NAME',
      meaning: `who the token is for; default ${DEFAULT_AUDIENCE}`,
    },
    ttl: { type: 'string', value: 'DURATION', meaning: `how long it is valid; default ${DEFAULT_TTL}` },
    'new-key': {
      type: 'string',
      value: 'FILE',
      meaning: 'make a key pair: FILE (private, mode 0600) and FILE.pub; never overwrites',
    },
  },
  more: () => 'For development only: whoever reads the private key can be every workload.',
  async run(parsed) {
    try {
      const newKey = textFlag(parsed, 'new-key');
      if (newKey === undefined) process.stdout.write(`${await sign(parsed)}\n`);
      else await makeKey(parsed, newKey);
      return EXIT_OK;
    } catch (thrown) {
      if (!(thrown instanceof MeshError)) throw thrown;
      process.stderr.write(`postern: ${whyOf(thrown)}\n`);
      return EXIT_NEGATIVE;
    }
  },
};

async function makeKey(parsed: ParsedArguments, file: string): Promise<void> {
  const other = SIGNING_FLAGS.find((name) => textFlag(parsed, name) !== undefined);
  if (other !== undefined) throw new UsageError(`Cannot take --new-key with --${other}: give one of them`);
  if (file === '') throw new UsageError('Cannot make a key without a name: give --new-key FILE');
  await writeTokenKey(resolve(file));
}

async function sign(parsed: ParsedArguments): Promise<string> {
  const namespace = required(parsed, 'namespace', 'NS');
  const serviceAccount = required(parsed, 'service-account', 'SA');
  const file = required(parsed, 'key', 'FILE');
  if (!isNamespaceName(namespace))
    throw new UsageError(`Cannot sign for --namespace "${namespace}": it is not a name of Kubernetes`);
  if (!isServiceAccountName(serviceAccount))
    throw new UsageError(
      `Cannot sign for --service-account "${serviceAccount}": it is not a name of Kubernetes`,
    );
  const audience = textFlag(parsed, 'audience') ?? DEFAULT_AUDIENCE;
  if (audience === '') throw new UsageError('Cannot sign for no audience: give --audience NAME');
  const ttlText = textFlag(parsed, 'ttl') ?? DEFAULT_TTL;
  const ttlMs = parseDuration(ttlText, MAX_LIFETIME_MS);
  if (ttlMs === null || ttlMs === 0)
    throw new UsageError(`Cannot use --ttl "${ttlText}": give a duration such as 1h, at most ten years`);
  return signToken({ namespace, serviceAccount, privateKeyPem: await readKey(file), audience, ttlMs });
}

function required(parsed: ParsedArguments, name: string, value: string): string {
  const text = textFlag(parsed, name);
  if (text === undefined)
    throw new UsageError(`Cannot sign a token without --${name}: give --${name} ${value}`);
  return text;
}

async function readKey(file: string): Promise<string> {
  try {
    return await readBounded(resolve(file));
  } catch (thrown) {
    throw new MeshError(
      'token_invalid',
      `Cannot read "${file}": ${messageOf(thrown)}; make one with "postern token --new-key FILE"`,
      { cause: thrown },
    );
  }
}
