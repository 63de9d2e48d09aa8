import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { explainLibraryError } from '../../src/tls/library-error.ts';

describe('explainLibraryError', () => {
  const cases = [
    ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'client_alert_unknown_ca'],
    ['ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE', 'client_alert_bad_certificate'],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'client_alert_certificate_required'],
    ['ERR_SSL_TLSV1_ALERT_USER_CANCELLED', 'client_alert_user_canceled'],
    ['ERR_SSL_SSLV3_ALERT_SOMETHING_NEW', 'client_alert_something_new'],
    ['ERR_SSL_NO_SHARED_CIPHER', 'cipher_mismatch'],
    ['ERR_SSL_BAD_SIGNATURE', 'bad_signature'],
    ['ERR_SSL_SOME_NEW_REASON', 'malformed_handshake'],
    ['ECONNRESET', 'client_closed'],
    ['constructor', 'failed'],
    ['', 'failed'],
  ] as const;
  for (const [code, reason] of cases) {
    it(`explains "${code}" as ${reason}`, () => {
      const refusal = explainLibraryError(code);
      assert.equal(refusal.reason, reason);
      assert.ok(refusal.hint.length > 20);
      assert.ok(!refusal.hint.endsWith('.'));
    });
  }
});
