/**
 * Normalises the path before any policy sees it (MeshConfig.pathNormalization); what is judged is what the
 * app receives. A path that cannot be normalised is 400, as in Envoy.
 */
import { CONTINUE } from '../http/filter.ts';
import type { Deny, Filter, RequestContext, Verdict } from '../http/filter.ts';
import { normalizePath } from '../path/normalize-path.ts';
import type { NormalizationMode } from '../path/normalize-path.ts';

export class PathNormalizationFilter implements Filter {
  readonly name = 'path-normalization';
  readonly #mode: NormalizationMode;

  constructor(mode: NormalizationMode) {
    this.#mode = mode;
  }

  onRequest(request: RequestContext): Verdict {
    const { head } = request;
    const path = normalizePath(head.path, this.#mode);
    if (path === null) return refuse(head.path, this.#mode);
    head.path = path;
    return CONTINUE;
  }
}

function refuse(path: string, mode: NormalizationMode): Deny {
  return {
    kind: 'deny',
    code: 'path_normalization_failed',
    status: 400,
    body: '',
    headers: [],
    details: 'path_normalization_failed',
    // The query is not normalised, and tokens may be in it.
    why: `pathNormalization ${mode} cannot normalise ${JSON.stringify(path.replace(/\?.*/s, '?…'))}`,
  };
}
