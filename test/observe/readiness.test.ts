import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Readiness } from '../../src/observe/readiness.ts';

const none = new URLSearchParams();

describe('readiness', () => {
  it('is not ready before it was started, and says why in one line', () => {
    const readiness = new Readiness();
    readiness.set('tls_no_secret', 'no certificate\nyet');
    assert.equal(readiness.isReady, false);
    const answer = readiness.answer(none);
    assert.equal(answer.status, 503);
    assert.equal(
      answer.body,
      'NOT READY: not_started: listeners are not open yet; tls_no_secret: no certificate yet\n',
    );
  });

  it('answers LIVE once every reason is gone and tells each turn once', () => {
    const turns: boolean[] = [];
    const readiness = new Readiness((ready) => turns.push(ready));
    readiness.set('tls_no_secret', 'a');
    readiness.clear('not_started');
    assert.deepEqual(turns, []);
    readiness.clear('tls_no_secret');
    readiness.clear('tls_no_secret');
    assert.deepEqual(readiness.answer(none), {
      status: 200,
      contentType: 'text/plain; charset=utf-8',
      body: 'LIVE\n',
    });
    readiness.set('identity_expired', 'x');
    readiness.set('identity_expired', 'y');
    readiness.clear('identity_expired');
    assert.deepEqual(turns, [true, false, true]);
  });

  it('gives the documented JSON and keeps since when only the message changes', () => {
    const readiness = new Readiness();
    const since = readiness.state().reasons[0]!.since;
    readiness.set('not_started', 'other');
    readiness.configLoaded(3, 0);
    readiness.configRefused('a.yaml:1:2: spec: wrong');
    assert.deepEqual(JSON.parse(readiness.answer(new URLSearchParams('format=json')).body), {
      ready: false,
      reasons: [{ code: 'not_started', message: 'other', since }],
      config: { generation: 3, loadedAt: '1970-01-01T00:00:00.000Z', lastError: 'a.yaml:1:2: spec: wrong' },
    });
  });

  it('stays ready when a reload is refused and forgets the error with the next good one', () => {
    const readiness = new Readiness();
    readiness.clear('not_started');
    readiness.configRefused('wrong');
    assert.equal(readiness.isReady, true);
    readiness.configLoaded(2, 0);
    assert.equal(readiness.state().config.lastError, null);
  });
});
