/** The filters of inbound chains, in their order: Istio's own, the policies, then the embedding program's. */
import { EdgeFieldsFilter } from './filters/edge-fields.ts';
import { PathNormalizationFilter } from './filters/path-normalization.ts';
import { XfccFilter } from './filters/xfcc.ts';
import { FilterChain } from './http/filter-chain.ts';
import type { OnFilterFailed } from './http/filter-chain.ts';
import type { Filter } from './http/filter.ts';
import type { PathNormalization } from './mesh/plan.ts';

export interface InboundFilterParts {
  readonly pathNormalization: PathNormalization;
  readonly ownSpiffeId: () => string;
  /** CUSTOM, tokens, AUDIT, DENY, ALLOW. */
  readonly policy: readonly Filter[];
  readonly user: readonly Filter[];
  readonly onFailed: OnFilterFailed;
}

/** The path comes first: whatever judges after it sees what the app will see. */
export function createInboundFilters(parts: InboundFilterParts): FilterChain {
  const builtIn = [
    new PathNormalizationFilter(parts.pathNormalization),
    new EdgeFieldsFilter(),
    new XfccFilter(parts.ownSpiffeId),
    ...parts.policy,
  ];
  return new FilterChain(builtIn, parts.user, parts.onFailed);
}
