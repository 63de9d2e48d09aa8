/**
 * The one answer that every benchmark expects, made here for the app that gives it and the client that checks it.
 */

export const BODY_BYTES = 1024;

const START = 'postern bench answer, first byte here >';
const END = '< last byte here\n';

/** 1 KiB with a marker at both ends and no repetition that a lost block could hide in. */
export function answerBody(): Buffer {
  const body = Buffer.alloc(BODY_BYTES);
  for (let at = 0; at < BODY_BYTES; at += 1) body[at] = 33 + ((at * 7 + (at >> 5) * 11) % 94);
  body.write(START, 0, 'latin1');
  body.write(END, BODY_BYTES - END.length, 'latin1');
  return body;
}
