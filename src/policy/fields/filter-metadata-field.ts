/**
 * `experimental.envoy.filters.*`: what some other Envoy filter noted about the request. No such filter runs here, so
 * there is never anything to match.
 */
import type { Field, IndexKey } from './field.ts';

export class FilterMetadataField implements Field {
  readonly keys: readonly IndexKey[] = [];

  hit(): boolean {
    return false;
  }

  got(): readonly string[] {
    return [];
  }
}
