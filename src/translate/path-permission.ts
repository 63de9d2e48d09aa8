/** A value of `paths` as an RBAC permission: text with a star at an end, or a template with `{*}` and `{**}`. */
import { type EnvoyMessage, extension } from './envoy-message.ts';
import { quoted, regexMatcher, stringMatcher } from './string-matchers.ts';

const TYPE = 'envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig';
const OPERATOR = /\{\*\*?\}/;
/** What Envoy lets an operator stand for; a slash besides in `{**}`. */
const CHARACTERS = String.raw`a-zA-Z0-9\-._~%!$&'()*+,;:@=`;

export function pathPermission(value: string): EnvoyMessage {
  if (!OPERATOR.test(value)) return { urlPath: { path: stringMatcher(value) } };
  if (!value.startsWith('/') || value.includes('//')) return asExpression(value);
  const pathTemplate = value.replaceAll('{**}', '**').replaceAll('{*}', '*');
  return { uriTemplate: extension('uri-template', TYPE, { pathTemplate }) };
}

/** Istio takes templates such as `{*}` and `/a//{*}`, at which Envoy 1.40 aborts when it reads its configuration. */
function asExpression(value: string): EnvoyMessage {
  const regex = value
    .split(/(\{\*\*?\})/)
    .map((part) => {
      if (part === '{*}') return `[${CHARACTERS}]+`;
      return part === '{**}' ? `[/${CHARACTERS}]*` : quoted(part);
    })
    .join('');
  return { urlPath: { path: regexMatcher(regex) } };
}
