import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SecretMaterial } from '../../src/core/secret.ts';
import { deriveTicketBinding } from '../../src/tls/ticket-binding.ts';

const secret: SecretMaterial = {
  version: 1,
  trustVersion: 1,
  certificateChainPem: 'chain',
  privateKeyPem: 'key',
  bundles: { 'cluster.local': 'a', 'other.example': 'b' },
  ticketSecret: Buffer.alloc(32, 7),
};

describe('deriveTicketBinding', () => {
  it('gives keys of the length that OpenSSL wants, the same for the same secret', () => {
    const binding = deriveTicketBinding(secret);
    assert.equal(binding.ticketKeys.length, 48);
    assert.ok(binding.sessionIdContext.length <= 32);
    const again = { ...secret, version: 2, bundles: { 'other.example': 'b', 'cluster.local': 'a' } };
    assert.deepEqual(deriveTicketBinding(again), binding);
  });

  it('changes both with trust, certificate or ticket secret', () => {
    const changed: readonly SecretMaterial[] = [
      { ...secret, trustVersion: 2 },
      { ...secret, certificateChainPem: 'other chain' },
      { ...secret, bundles: { 'cluster.local': 'a' } },
      { ...secret, bundles: { 'cluster.local': 'b', 'other.example': 'a' } },
      { ...secret, bundles: { 'cluster.local': 'a', 'other.exampleb': '' } },
      { ...secret, ticketSecret: Buffer.alloc(32, 8) },
    ];
    const all = [secret, ...changed].map(deriveTicketBinding);
    assert.equal(new Set(all.map((binding) => binding.ticketKeys.toString('hex'))).size, all.length);
    assert.equal(new Set(all.map((binding) => binding.sessionIdContext)).size, all.length);
  });
});
