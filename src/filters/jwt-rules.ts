/** The rules of a plan made ready once: places in order, audiences in the form they are compared in, inline keys. */
import type { JwtPlan, JwtRule } from '../core/jwt-plan.ts';
import { ReservedNames } from '../http/reserved-names.ts';
import { parseKeySet } from './jwt-key-set.ts';
import type { KeySet } from './jwt-key-set.ts';
import { placesOf } from './jwt-places.ts';
import type { TokenPlaces } from './jwt-places.ts';

export interface CompiledJwtRule {
  readonly rule: JwtRule;
  /** One value for all rules that look at the same places. */
  readonly places: TokenPlaces;
  /** Empty: not checked. */
  readonly audiences: ReadonlySet<string>;
  /** null: it is fetched, under `rule.keySet`. */
  readonly inlineKeys: KeySet | null;
}

export interface CompiledJwtRules {
  readonly rules: readonly CompiledJwtRule[];
  /** Fields that only a verified token may give; whoever sends them, they are taken away first. */
  readonly outputNames: ReservedNames;
}

export function compileJwtRules(plan: JwtPlan): CompiledJwtRules {
  const known = new Map<string, TokenPlaces>();
  return {
    rules: plan.rules.map((rule) => ({
      rule,
      places: sharedPlaces(placesOf(rule), known),
      audiences: new Set(rule.audiences.map(plainAudience)),
      inlineKeys: rule.keySet === '' ? parseKeySet(rule.jwks) : null,
    })),
    outputNames: outputNamesOf(plan),
  };
}

function sharedPlaces(places: TokenPlaces, known: Map<string, TokenPlaces>): TokenPlaces {
  const key = JSON.stringify(places);
  const same = known.get(key) ?? places;
  known.set(key, same);
  return same;
}

export function outputNamesOf({ rules }: JwtPlan): ReservedNames {
  return new ReservedNames(
    rules.flatMap(({ outputClaimToHeaders, outputPayloadToHeader }) => [
      ...outputClaimToHeaders.map(({ header }) => header),
      ...(outputPayloadToHeader === '' ? [] : [outputPayloadToHeader]),
    ]),
  );
}

/** As audiences are compared: without `http://` or `https://` in front and without one `/` at the end. */
export function plainAudience(audience: string): string {
  const from = audience.startsWith('http://') ? 7 : audience.startsWith('https://') ? 8 : 0;
  const to = audience.length > from && audience.endsWith('/') ? -1 : audience.length;
  return audience.slice(from, to);
}
