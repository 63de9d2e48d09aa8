/**
 * Applies what a provider wants changed: checked as a whole before the first of it is done, so that what cannot be
 * written, or would make the request another one than was judged, changes nothing and is refused.
 */
import type { RequestHead } from '../http/exchange.ts';
import { addField, getField, removeField, setField } from '../http/fields.ts';
import type { Fields } from '../http/fields.ts';
import { assertWritableRequest, CODEC_NAMES, isWritableName, isWritableValue } from '../http/write-head.ts';
import type { AllowAnswer, HeaderChange } from './ext-authz-answer.ts';

/** Names that are no fields here: Envoy's header map has them, and a provider may write them. */
const HOST_NAMES: ReadonlySet<string> = new Set(['host', ':authority']);

/** null: done. Else what is wrong with the first thing that cannot be applied, and nothing was changed. */
export function applyToRequest(head: RequestHead, answer: AllowAnswer, maxHeaders: number): string | null {
  const fields = [...head.fields];
  const toAppend: HeaderChange[] = [];
  let { authority, path } = head;
  for (const change of answer.requestHeaders) {
    const { action, value } = change;
    const name = change.name.toLowerCase();
    if (name === ':path') path = action === 'append-to' ? `${path},${value}` : value;
    else if (HOST_NAMES.has(name)) authority = action === 'append-to' ? `${authority},${value}` : value;
    else if (!isWritableName(name) || !isWritableValue(value)) return describeChange(change);
    else if (action === 'append-to') toAppend.push({ name, value, action });
    else applyChange(fields, { name, value, action });
  }
  // After the others whatever their order, as Envoy does.
  for (const change of toAppend) applyChange(fields, change);
  for (const name of answer.headersToRemove) removeField(fields, name.toLowerCase());
  if (fields.length > 2 * Math.max(maxHeaders, head.fields.length / 2))
    return `the request would have ${fields.length / 2} fields`;
  if (answer.queryToSet.length > 0 || answer.queryToRemove.length > 0) path = changeQuery(path, answer);
  const before = { authority: head.authority, path: head.path, fields: [...head.fields] };
  const set = (to: { authority: string; path: string; fields: readonly string[] }): void => {
    head.authority = to.authority;
    head.path = to.path;
    head.fields.splice(0, head.fields.length, ...to.fields);
  };
  set({ authority, path, fields });
  if (authority === before.authority && path === before.path) return null;
  try {
    assertWritableRequest(head);
    return null;
  } catch (thrown) {
    set(before);
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
}

/** Changes for an answer's head, checked: null where one cannot be written. Framing is the codec's own. */
export function writableChanges(changes: readonly HeaderChange[]): HeaderChange[] | string {
  const writable: HeaderChange[] = [];
  for (const change of changes) {
    const { action, value } = change;
    const name = change.name.toLowerCase();
    if (NOT_PASSED_ON.has(name) || name.startsWith(':')) continue;
    if (!isWritableName(name) || !isWritableValue(value)) return describeChange(change);
    writable.push({ name, value, action });
  }
  return writable;
}

/** What says something of the provider's own answer and nothing of ours. */
const NOT_PASSED_ON: ReadonlySet<string> = new Set([
  ...CODEC_NAMES,
  'server',
  'x-envoy-upstream-service-time',
]);

export function applyChange(fields: Fields, { action, name, value }: HeaderChange): void {
  const old = getField(fields, name);
  switch (action) {
    case 'add':
      addField(fields, name, value);
      return;
    case 'append-to':
      if (old !== undefined) appendTo(fields, name, value);
      return;
    case 'add-if-absent':
      if (old === undefined) addField(fields, name, value);
      return;
    case 'set-if-exists':
      if (old !== undefined) setField(fields, name, value);
      return;
    case 'set':
      removeField(fields, name);
      addField(fields, name, value);
  }
}

/** To the first field of that name, as Envoy does. */
function appendTo(fields: Fields, name: string, value: string): void {
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== name) continue;
    fields[i + 1] += ',' + value;
    return;
  }
}

/** Only the parameters that are named change; the bytes of the others stay as they came. */
function changeQuery(path: string, { queryToRemove, queryToSet }: AllowAnswer): string {
  const mark = path.indexOf('?');
  const base = mark === -1 ? path : path.slice(0, mark);
  let parts = mark === -1 || mark === path.length - 1 ? [] : path.slice(mark + 1).split('&');
  for (const { key, value } of queryToSet) {
    const at = parts.findIndex((part) => keyOf(part) === key);
    const text = `${key}=${value}`;
    if (at === -1) parts.push(text);
    else parts = [...parts.slice(0, at), text, ...parts.slice(at + 1).filter((part) => keyOf(part) !== key)];
  }
  parts = parts.filter((part) => !queryToRemove.includes(keyOf(part)));
  return parts.length === 0 ? base : `${base}?${parts.join('&')}`;
}

function keyOf(parameter: string): string {
  const equals = parameter.indexOf('=');
  return equals === -1 ? parameter : parameter.slice(0, equals);
}

function describeChange({ name, value }: HeaderChange): string {
  return `cannot write field ${JSON.stringify(name)} with value ${JSON.stringify(value.slice(0, 200))}`;
}
