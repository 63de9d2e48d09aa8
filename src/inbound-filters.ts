/** The filters of inbound chains, in their order. */
import { EdgeFieldsFilter } from './filters/edge-fields.ts';
import { PathNormalizationFilter } from './filters/path-normalization.ts';
import { XfccFilter } from './filters/xfcc.ts';
import { FilterChain } from './http/filter-chain.ts';
import type { Filter } from './http/filter.ts';
import type { PathNormalization } from './mesh/plan.ts';

/** The path comes first: whatever judges after it sees what the app will see. */
export function createInboundFilters(
  pathNormalization: PathNormalization,
  ownSpiffeId: () => string,
  userFilters: readonly Filter[],
  onFailed: (filter: string, thrown: unknown) => void,
): FilterChain {
  const builtIn = [
    new PathNormalizationFilter(pathNormalization),
    new EdgeFieldsFilter(),
    new XfccFilter(ownSpiffeId),
  ];
  return new FilterChain(builtIn, userFilters, onFailed);
}
