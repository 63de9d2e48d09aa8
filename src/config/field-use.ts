/**
 * What this version does with a field of Istio's API: acts on it, warns of the effect of ignoring it, or refuses it,
 * where ignoring it could let more through.
 */
import type { FieldReader } from './field-reader.ts';

export type FieldUse =
  | { readonly use: 'acted-on' }
  | { readonly use: 'ignored'; readonly effect: string }
  | { readonly use: 'refused'; readonly reason: string; readonly fix: string };

/** By field name; a field that is not there is acted on. */
export type FieldUses = Readonly<Record<string, FieldUse>>;

export const actedOn: FieldUse = { use: 'acted-on' };

export function ignored(effect: string): FieldUse {
  return { use: 'ignored', effect };
}

export function refused(reason: string, fix: string): FieldUse {
  return { use: 'refused', reason, fix };
}

/** Notes what is ignored or refused of the fields that are written here; not of what is inside them. */
export function applyFieldUses(reader: FieldReader, uses: FieldUses): void {
  for (const name of reader.names()) {
    const use = Object.hasOwn(uses, name) ? uses[name] : undefined;
    if (use !== undefined && reader.has(name)) applyFieldUse(reader, name, use);
  }
}

export function applyFieldUse(reader: FieldReader, name: string, use: FieldUse): void {
  switch (use.use) {
    case 'acted-on':
      break;
    case 'ignored': {
      const message = `${name} has no effect: ${use.effect}`;
      reader.report(name, 'ignored_field', message, 'remove it, or leave it', 'warning');
      break;
    }
    case 'refused': {
      const message = `this version does not act on ${name}: ${use.reason}`;
      reader.report(name, 'not_enforced', message, use.fix);
      break;
    }
    default:
      use satisfies never;
  }
}
