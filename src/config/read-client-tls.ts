/**
 * DestinationRule `tls`: whether and how TLS is originated, and what of it contradicts itself.
 *
 * What is wrong here could mean plaintext, or a server that nobody verified: nothing is passed over in silence.
 */
import { dirname, resolve } from 'node:path';
import type { FieldReader } from './field-reader.ts';
import type { ClientTls, ClientTlsMode } from './resources.ts';

const MODES = ['DISABLE', 'SIMPLE', 'MUTUAL', 'ISTIO_MUTUAL'] as const;
const FILES = ['clientCertificate', 'privateKey', 'caCertificates'] as const;
const FIELDS = [...FILES, 'subjectAltNames', 'sni', 'insecureSkipVerify'] as const;

/** What a mode reads; the others have no effect, as in Istio. */
const READ_BY: Readonly<Record<ClientTlsMode, ReadonlySet<string>>> = {
  DISABLE: new Set(),
  SIMPLE: new Set(['caCertificates', 'subjectAltNames', 'sni', 'insecureSkipVerify']),
  MUTUAL: new Set(FIELDS),
  ISTIO_MUTUAL: new Set(['subjectAltNames', 'sni']),
};

/** `selects`: the rule has a workloadSelector. File paths are relative to the folder of the document. */
export function readClientTls(tls: FieldReader, selects: boolean): ClientTls {
  const mode = readMode(tls);
  checkUnusable(tls, selects);
  const insecureSkipVerify = tls.boolean('insecureSkipVerify') ?? false;
  const read: ClientTls = {
    mode,
    clientCertificate: readPath(tls, 'clientCertificate'),
    privateKey: readPath(tls, 'privateKey'),
    caCertificates: readPath(tls, 'caCertificates'),
    subjectAltNames: tls.has('subjectAltNames') ? readSubjectAltNames(tls) : null,
    sni: tls.text('sni') ?? '',
    insecureSkipVerify,
    position: tls.position,
  };
  warnOfUnread(tls, mode);
  checkTogether(tls, read);
  return read;
}

/** The API's zero value is DISABLE: who leaves the mode out hardly means that. */
function readMode(tls: FieldReader): ClientTlsMode {
  const mode = tls.oneOf('mode', MODES);
  if (mode === null && !tls.has('mode')) {
    tls.problems.add(
      'warning',
      'missing_field',
      tls.position,
      tls.pathOf('mode'),
      'tls without mode is DISABLE, as in Istio: plaintext',
      `write mode: ${MODES.join(', ')}`,
    );
  }
  return mode ?? 'DISABLE';
}

function checkUnusable(tls: FieldReader, selects: boolean): void {
  if (tls.has('credentialName') && tls.text('credentialName') !== '') {
    if (selects) {
      const message = 'this version cannot fetch the secret that credentialName names yet';
      tls.report('credentialName', 'not_usable_yet', message, 'name files, like caCertificates');
    } else {
      // Istio leaves the whole TLS context out then, and the traffic goes out in plaintext.
      const message = 'credentialName of a rule without workloadSelector is not read by sidecars';
      tls.report('credentialName', 'not_enforced', message, 'name files, like caCertificates');
    }
  }
  if (tls.has('caCrl') && tls.text('caCrl') !== '') {
    const message = 'this version does not read caCrl: revoked servers would be trusted';
    tls.report('caCrl', 'not_enforced', message, 'remove it');
  }
}

function readPath(tls: FieldReader, name: (typeof FILES)[number]): string {
  const path = tls.text(name) ?? '';
  if (path.includes('\0')) {
    tls.reportValue(name, 'bad_value', `the path of ${name} has a zero byte`, 'write a file name');
    return '';
  }
  return path === '' ? '' : resolve(dirname(tls.source.file), path);
}

function readSubjectAltNames(tls: FieldReader): string[] {
  const names = tls.texts('subjectAltNames');
  for (const [index, name] of names.entries()) {
    const node = tls.list('subjectAltNames')?.[index];
    if (name !== '' || node === undefined) continue;
    const path = `${tls.pathOf('subjectAltNames')}[${index}]`;
    tls.reportAt(node, path, 'bad_value', 'a subject alternative name is empty', 'remove it');
  }
  return names;
}

function warnOfUnread(tls: FieldReader, mode: ClientTlsMode): void {
  for (const name of FIELDS) {
    if (!tls.has(name) || READ_BY[mode].has(name)) continue;
    const effect = mode === 'ISTIO_MUTUAL' ? "mesh mTLS uses the workload's own identity and roots" : '';
    const message = `${name} has no effect with mode ${mode}${effect === '' ? '' : `: ${effect}`}`;
    tls.report(name, 'ignored_field', message, 'remove it, or change mode', 'warning');
  }
}

/** Settings that are right alone and wrong together. */
function checkTogether(tls: FieldReader, read: ClientTls): void {
  if (read.mode === 'MUTUAL') {
    for (const name of ['clientCertificate', 'privateKey'] as const) {
      if (read[name] !== '' || (tls.has(name) && tls.text(name) !== '')) continue;
      const fix = `add ${name}, or write mode: ISTIO_MUTUAL or SIMPLE`;
      tls.report(name, 'missing_field', `mode MUTUAL has no ${name}`, fix);
    }
  }
  if (!read.insecureSkipVerify || (read.mode !== 'SIMPLE' && read.mode !== 'MUTUAL')) return;
  for (const name of ['caCertificates', 'subjectAltNames'] as const) {
    if (!tls.has(name) || read[name]?.length === 0) continue;
    const message = `insecureSkipVerify leaves nothing to verify by ${name}`;
    tls.report(name, 'conflict', message, `remove ${name} or insecureSkipVerify`);
  }
}
