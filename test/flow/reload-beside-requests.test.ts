/** Thousands of policies are read and compiled beside the requests that are served, not instead of them. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { get } from './flow-mesh.ts';
import { policy, PolicyMesh, to } from './policy-mesh.ts';

const POLICIES = 2_000;

function policies(path: string): string {
  return Array.from({ length: POLICIES }, (_, index) =>
    policy(`deny-${index}`, `{action: DENY, rules: ${to('paths', `/${path}/${index}`)}}`),
  ).join('');
}

it(`a reload of ${POLICIES} policies does not keep requests waiting`, async () => {
  await using mesh = await PolicyMesh.start({ documents: policies('old') });
  using client = await mesh.connect();
  assert.equal((await mesh.askOn(client, get('/old/7'))).status, 403);

  const progress = { isOver: false };
  const changed = mesh.change(policies('new')).finally(() => {
    progress.isOver = true;
  });
  const answeredAt: number[] = [];
  while (!progress.isOver) {
    await mesh.askOn(client, get('/'));
    answeredAt.push(performance.now());
  }
  await changed;
  const waits = answeredAt.slice(1).map((at, index) => at - answeredAt[index]!);
  const longest = Math.max(...waits);
  const all = answeredAt.at(-1)! - answeredAt[0]!;
  assert.ok(longest < all / 3, `one request waited ${longest} ms of ${all}`);
  assert.equal((await mesh.askOn(client, get('/old/7'))).status, 200);
  assert.equal((await mesh.askOn(client, get('/new/7'))).status, 403);
});
