/** The filters of inbound chains, in their order. */
import { messageOf } from './core/errors.ts';
import { EdgeFieldsFilter } from './filters/edge-fields.ts';
import { PathNormalizationFilter } from './filters/path-normalization.ts';
import { XfccFilter } from './filters/xfcc.ts';
import { FilterChain } from './http/filter-chain.ts';
import type { Filter } from './http/filter.ts';
import type { PathNormalization } from './mesh/plan.ts';
import type { Log } from './observe/log.ts';

/** The path comes first: whatever judges after it sees what the app will see. */
export function createInboundFilters(
  pathNormalization: PathNormalization,
  ownSpiffeId: () => string,
  userFilters: readonly Filter[],
  log: Log,
): FilterChain {
  const builtIn = [
    new PathNormalizationFilter(pathNormalization),
    new EdgeFieldsFilter(),
    new XfccFilter(ownSpiffeId),
  ];
  return new FilterChain(builtIn, userFilters, (filter, thrown) => {
    const stack = thrown instanceof Error ? thrown.stack : undefined;
    log.error(
      'filter_failed',
      { filter, error: messageOf(thrown), stack },
      'A filter failed; the request is denied',
    );
  });
}
