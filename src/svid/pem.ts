/**
 * PEM blocks in and out (RFC 7468), strict inside a block and blind to the text between blocks.
 */

/** Half a sentence about a text that is not usable PEM. */
export interface PemProblem {
  readonly problem: string;
}

export interface PemBlock {
  readonly label: string;
  readonly der: Buffer;
  /** The block as it stood, from BEGIN to END. */
  readonly text: string;
}

/** What a file of ours may hold; `core/limits.ts` has no say here, for these are the operator's own. */
const MAX_BLOCKS = 1024;

const BEGIN = /^-----BEGIN ([A-Z0-9][A-Z0-9 ]*)-----[ \t]*$/;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const HEADER = /^[A-Za-z-]+: /;

/** All blocks of a text, in order. A block that is cut off or not base64 is a problem, never skipped. */
export function parsePem(text: string): readonly PemBlock[] | PemProblem {
  const lines = text.split(/\r?\n/);
  const blocks: PemBlock[] = [];
  for (let i = 0; i < lines.length; i++) {
    const label = BEGIN.exec(lines[i]!)?.[1];
    if (label === undefined) {
      if (lines[i]!.includes('-----END ')) return { problem: `line ${i + 1} ends a block that never began` };
      continue;
    }
    const end = lines.findIndex((line, at) => at > i && line.startsWith('-----'));
    if (end === -1 || lines[end]!.trimEnd() !== `-----END ${label}-----`)
      return { problem: `the block "${label}" of line ${i + 1} has no end; the file is cut off` };
    const body = lines.slice(i + 1, end);
    const isEncrypted = body.some((line) => HEADER.test(line));
    const base64 = isEncrypted ? '' : body.map((line) => line.trim()).join('');
    if (!isEncrypted && (base64 === '' || base64.length % 4 !== 0 || !BASE64.test(base64)))
      return { problem: `the block "${label}" of line ${i + 1} is not base64` };
    if (blocks.length === MAX_BLOCKS) return { problem: `there are more than ${MAX_BLOCKS} blocks` };
    // A block with headers is a private key encrypted the old way (RFC 1421): its owner has to say so.
    blocks.push({
      label: isEncrypted ? 'ENCRYPTED PRIVATE KEY' : label,
      der: Buffer.from(base64, 'base64'),
      text: `${lines.slice(i, end + 1).join('\n')}\n`,
    });
    i = end;
  }
  return blocks;
}

/** The certificates of a text; other blocks are passed over, so that a key in the same file does not matter. */
export function parseCertificates(text: string): readonly Buffer[] | PemProblem {
  if (text.trim() === '') return { problem: 'it is empty' };
  const blocks = parsePem(text);
  if ('problem' in blocks) return blocks;
  const certificates = blocks.filter((block) => block.label === 'CERTIFICATE');
  if (certificates.length === 0) return { problem: 'it has no "-----BEGIN CERTIFICATE-----"' };
  return certificates.map((block) => block.der);
}

/** One certificate as PEM. */
export function formatCertificate(der: Uint8Array): string {
  const base64 = Buffer.from(der).toString('base64');
  let text = '-----BEGIN CERTIFICATE-----\n';
  for (let i = 0; i < base64.length; i += 64) text += `${base64.slice(i, i + 64)}\n`;
  return `${text}-----END CERTIFICATE-----\n`;
}
