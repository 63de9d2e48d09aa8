/** `postern agent`: the SDS server of one workload as a process. */
import { loadAgentConfig } from '../config/agent-config.ts';
import { AGENT_KEYS } from '../config/agent-keys.ts';
import { startAgent } from '../identity/agent-start.ts';
import type { Command } from './command.ts';
import { createServiceCommand } from './service-command.ts';

export const agentCommand: Command = createServiceCommand({
  name: 'agent',
  summary: 'Get a workload its certificate and serve it by SDS',
  fileName: 'agent.yaml',
  example: 'postern agent --config agent.yaml --ca.address 127.0.0.1:15012',
  more: 'The private key is made here and stays in memory. Envoy and postern proxy connect to the socket.',
  keys: AGENT_KEYS,
  load: loadAgentConfig,
  async start(config, log) {
    const { ca, certificate, readiness, socket, tokenFile, trustBundleFile, workload } = config;
    const agent = await startAgent({
      workload,
      socket,
      ca: { address: ca.address, serverName: ca.serverName, root: { file: ca.root } },
      token: tokenFile === null ? null : { file: tokenFile },
      certificate,
      trustBundleFile,
      readiness,
      log,
    });
    return {
      facts: { sockets: agent.sockets, ports: agent.ports },
      whenReady: () => agent.whenReady(),
      close: () => agent.close(),
    };
  },
});
