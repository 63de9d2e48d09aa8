/**
 * Path templates of AuthorizationPolicy: `{*}` is one segment, `{**}` any number of them, which is the last operator.
 * (Istio 1.22 and later; Envoy's URI template matcher)
 */
import { isPathTemplate } from '../core/policy-notation.ts';
import type { ValueFault } from './policy-values.ts';
import { shown } from './yaml-tree.ts';

const ONE = '{*}';
const ANY = '{**}';
/** RFC 3986 pchar without `*`, which would not be literal. */
const LITERAL = /^[-a-zA-Z0-9._~%!$&'()+,;:@=]+$/;

/** Checked on every path: braces have no other meaning. */
export function pathFault(path: string): ValueFault | null {
  if (path === '') return bad(path, 'is empty', 'write a path like /info');
  const isTemplate = isPathTemplate(path);
  if (isTemplate && !path.startsWith('/')) return bad(path, 'does not begin with "/"', 'begin it with "/"');
  let anySeen = false;
  for (const segment of path.replaceAll(/^\/+|\/+$/g, '').split('/')) {
    if (segment === ONE || segment === ANY) {
      if (anySeen) {
        return bad(
          path,
          `has ${segment} after {**}`,
          'make {**} the last operator; literal segments may follow',
        );
      }
      anySeen = segment === ANY;
    } else if (/[{}]/.test(segment)) {
      const fix = 'write {*} or {**} as a whole segment, and no other braces';
      return bad(path, `has "{" or "}" outside a segment that is {*} or {**}`, fix);
    } else if (isTemplate && !LITERAL.test(segment)) {
      const what = segment === '' ? 'an empty segment' : `the segment "${shown(segment)}"`;
      const fix = "use letters, digits and -._~%!$&'()+,;:@= between the operators";
      return bad(path, `is a template with ${what}`, fix);
    }
  }
  return null;
}

function bad(path: string, what: string, fix: string): ValueFault {
  return { code: 'bad_value', message: path === '' ? `the path ${what}` : `"${shown(path)}" ${what}`, fix };
}
