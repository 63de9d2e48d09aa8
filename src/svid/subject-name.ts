/**
 * A certificate's subject as text in RFC 2253 form, byte for byte as OpenSSL prints it with XN_FLAG_RFC2253,
 * for that is what Envoy puts in XFCC's `Subject`.
 */
import { dottedOid } from './certificate.ts';
import { DerError, DerReader, TAG_OID, TAG_SEQUENCE, TAG_SET } from './der-reader.ts';

/** OpenSSL's short names; an attribute that is not here is printed as numbers with its value in hex. */
const SHORT_NAMES: Readonly<Record<string, string>> = {
  '2.5.4.3': 'CN',
  '2.5.4.4': 'SN',
  '2.5.4.5': 'serialNumber',
  '2.5.4.6': 'C',
  '2.5.4.7': 'L',
  '2.5.4.8': 'ST',
  '2.5.4.9': 'street',
  '2.5.4.10': 'O',
  '2.5.4.11': 'OU',
  '2.5.4.12': 'title',
  '2.5.4.13': 'description',
  '2.5.4.15': 'businessCategory',
  '2.5.4.17': 'postalCode',
  '2.5.4.41': 'name',
  '2.5.4.42': 'GN',
  '2.5.4.43': 'initials',
  '2.5.4.44': 'generationQualifier',
  '2.5.4.45': 'x500UniqueIdentifier',
  '2.5.4.46': 'dnQualifier',
  '2.5.4.65': 'pseudonym',
  '2.5.4.97': 'organizationIdentifier',
  '0.9.2342.19200300.100.1.1': 'UID',
  '0.9.2342.19200300.100.1.25': 'DC',
  '1.2.840.113549.1.9.1': 'emailAddress',
  '1.2.840.113549.1.9.2': 'unstructuredName',
};

/** Bytes a character by string type (X.680); 0: UTF-8. A type that is not here is printed in hex. */
const CHARACTER_BYTES: Readonly<Record<number, number>> = {
  0x0c: 0, // UTF8String
  0x12: 1, // NumericString
  0x13: 1, // PrintableString
  0x14: 1, // T61String, read as Latin-1
  0x16: 1, // IA5String
  0x17: 1, // UTCTime
  0x18: 1, // GeneralizedTime
  0x1a: 1, // VisibleString
  0x1c: 4, // UniversalString
  0x1e: 2, // BMPString
};

const MAX_ATTRIBUTES = 64;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The subject that lies in `der` from `at` to `end`: '' when it is empty. Throws a DerError. */
export function formatSubject(der: Uint8Array, at: number, end: number): string {
  const outer = new DerReader(der, at, end);
  outer.expect(TAG_SEQUENCE, 'the subject');
  if (outer.start === outer.end) return '';
  const rdns = outer.enter();
  let text = '';
  let attributes = 0;
  while (!rdns.atEnd) {
    rdns.expect(TAG_SET, 'a part of the subject');
    const rdn = rdns.enter();
    if (rdn.atEnd) throw new DerError('a part of the subject is empty', rdns.at);
    let isFirst = true;
    while (!rdn.atEnd) {
      if (++attributes > MAX_ATTRIBUTES) throw new DerError('the subject has too many attributes', rdn.at);
      rdn.expect(TAG_SEQUENCE, 'an attribute of the subject');
      const attribute = formatAttribute(rdn.enter());
      // RFC 2253 §2.1: the last part comes first; OpenSSL turns multi-valued parts round as well.
      if (text === '') text = attribute;
      else text = `${attribute}${isFirst ? ',' : '+'}${text}`;
      isFirst = false;
    }
  }
  return text;
}

function formatAttribute(attribute: DerReader): string {
  attribute.expect(TAG_OID, 'the type of an attribute');
  const id = dottedOid(attribute.bytes, attribute.start, attribute.end);
  attribute.next();
  const { bytes, tag, at, start, end } = attribute;
  attribute.finish('the value of an attribute');
  const shortName = SHORT_NAMES[id];
  const characterBytes = CHARACTER_BYTES[tag];
  if (shortName === undefined || characterBytes === undefined) {
    const hex = Buffer.from(bytes.subarray(at, end)).toString('hex').toUpperCase();
    return `${shortName ?? id}=#${hex}`;
  }
  return `${shortName}=${escapeValue(decode(bytes.subarray(start, end), characterBytes, at))}`;
}

function decode(content: Uint8Array, characterBytes: number, at: number): string {
  if (characterBytes === 0) {
    try {
      return utf8.decode(content);
    } catch {
      throw new DerError('an attribute is not UTF-8', at);
    }
  }
  if (content.length % characterBytes !== 0) throw new DerError('an attribute is cut off', at);
  let text = '';
  for (let i = 0; i < content.length; i += characterBytes) {
    let code = 0;
    for (let k = 0; k < characterBytes; k++) code = code * 256 + content[i + k]!;
    const isSurrogate = code >= 0xd800 && code <= 0xdfff;
    if (code > 0x10ffff || isSurrogate) throw new DerError('an attribute is not Unicode', at);
    text += String.fromCodePoint(code);
  }
  return text;
}

const ESCAPED = ',+"\\<>;';

/** RFC 2253 §2.4; control and non-ASCII bytes of the UTF-8 form become `\0A`. */
function escapeValue(value: string): string {
  const bytes = Buffer.from(value);
  let text = '';
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    const char = String.fromCharCode(byte);
    if (byte < 0x20 || byte >= 0x7f) {
      text += `\\${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    } else if (
      ESCAPED.includes(char) ||
      (char === '#' && i === 0) ||
      (char === ' ' && (i === 0 || i === bytes.length - 1))
    ) {
      text += `\\${char}`;
    } else text += char;
  }
  return text;
}
