/** How far text out of a certificate goes into messages. */
const MAX_SHOWN = 128;

/** Text that a peer chose, fit for a log line: in quotes, on one line, ASCII, cut. */
export function quoteText(text: string): string {
  const cut = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}...` : text;
  return JSON.stringify(cut).replaceAll(
    /[\u007F-\uFFFF]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
