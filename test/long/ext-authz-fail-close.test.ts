/**
 * 5,000 requests while the authorization server is killed, hung, late or speaks garbage: with failOpen false the app's
 * own log has none of them, with failOpen true all.
 */
import { describe, it } from 'node:test';
import { runFailing, TROUBLES } from '../interop/ext-authz-failing.ts';
import { SKIP_WITHOUT_GO } from '../interop/ext-authz-server.ts';
import { longShare } from '../support/long-seconds.ts';

describe('5,000 requests without a decision', { skip: SKIP_WITHOUT_GO }, () => {
  for (const kind of ['grpc', 'http'] as const) {
    for (const trouble of TROUBLES) {
      for (const failOpen of [false, true]) {
        it(`${kind}, ${trouble}, failOpen ${failOpen}`, () =>
          runFailing({ kind, trouble, failOpen, count: longShare(5_000, 600, 40) }));
      }
    }
  }
});
