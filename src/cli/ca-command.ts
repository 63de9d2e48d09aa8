/** `postern ca`: the certificate authority as a process. */
import { loadCaConfig } from '../config/ca-config.ts';
import { CA_KEYS } from '../config/ca-keys.ts';
import { startCa } from '../identity/ca-start.ts';
import type { Command } from './command.ts';
import { createServiceCommand } from './service-command.ts';

export const caCommand: Command = createServiceCommand({
  name: 'ca',
  summary: 'Run the certificate authority',
  fileName: 'ca.yaml',
  example: 'postern ca --config ca.yaml --listen.port 15012',
  more: "Speaks Istio's certificate service; a caller's identity is that of its token.",
  keys: CA_KEYS,
  load: loadCaConfig,
  async start(config, log) {
    const { admin, key, listen, rootFolder, trustDomain, ttl } = config;
    const tokens = config.tokens.map(({ audiences, issuer, publicKey }) => ({
      audiences,
      issuer,
      publicKey: { file: publicKey },
    }));
    const ca = await startCa({ admin, key, listen, rootFolder, trustDomain, ttl, tokens, log });
    return { facts: { ports: ca.ports }, whenReady: () => Promise.resolve(), close: () => ca.close() };
  },
});
