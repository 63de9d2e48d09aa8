/** 300 connections broken off at random points; 10,000 of them are in test/long. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkLeaks } from '../support/leak-check.ts';
import { abortStorm } from './abort-storm.ts';

describe('connections broken off at random points', () => {
  checkLeaks();

  it('leave no socket, timer or upstream connection behind, and every request is recorded once', async () => {
    const { connections, requests, recorded } = await abortStorm(300, 7);
    assert.equal(connections, 300);
    assert.ok(requests > 50, `only ${requests} requests were begun`);
    assert.equal(recorded, requests);
  });
});
