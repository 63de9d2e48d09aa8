/** What the app says of client certificates never leaves the host. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SanitizeXfccFilter } from '../../src/filters/sanitize-xfcc.ts';
import type { RequestContext } from '../../src/http/filter.ts';

describe('x-forwarded-client-cert on the way out', () => {
  it('is removed, every line of it, and nothing else is', () => {
    const name = 'x-forwarded-client-cert';
    const fields = [name, 'By=a;URI=spiffe://a/b', 'x', 'y', name, '', 'x-forwarded-for', '10.0.0.1'];
    const verdict = new SanitizeXfccFilter().onRequest({ head: { fields } } as unknown as RequestContext);
    assert.equal(verdict.kind, 'continue');
    assert.deepEqual(fields, ['x', 'y', 'x-forwarded-for', '10.0.0.1']);
  });
});
