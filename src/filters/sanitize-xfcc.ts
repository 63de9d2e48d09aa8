/**
 * Takes `x-forwarded-client-cert` from what the app sends out (Envoy's SANITIZE, Istio's outbound default): the app
 * has no peers to speak for, and the next proxy may take an element for one that a sidecar wrote.
 */
import { removeField } from '../http/fields.ts';
import { CONTINUE } from '../http/filter.ts';
import type { Filter, RequestContext, Verdict } from '../http/filter.ts';

export class SanitizeXfccFilter implements Filter {
  readonly name = 'sanitize-xfcc';

  onRequest(request: RequestContext): Verdict {
    removeField(request.head.fields, 'x-forwarded-client-cert');
    return CONTINUE;
  }
}
