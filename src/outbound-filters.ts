/** The filters of outbound chains, in their order. Policies are not among them: Istio judges where a request arrives. */
import { EdgeFieldsFilter } from './filters/edge-fields.ts';
import { PathNormalizationFilter } from './filters/path-normalization.ts';
import { SanitizeXfccFilter } from './filters/sanitize-xfcc.ts';
import { FilterChain } from './http/filter-chain.ts';
import type { Filter } from './http/filter.ts';
import type { PathNormalization } from './mesh/plan.ts';

export function createOutboundFilters(
  pathNormalization: PathNormalization,
  userFilters: readonly Filter[],
  onFailed: (filter: string, thrown: unknown) => void,
): FilterChain {
  const builtIn = [
    new PathNormalizationFilter(pathNormalization),
    new EdgeFieldsFilter(),
    new SanitizeXfccFilter(),
  ];
  return new FilterChain(builtIn, userFilters, onFailed);
}
