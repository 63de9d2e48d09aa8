/**
 * RequestAuthentication: which tokens are accepted, where they stand and what of them is passed on.
 * (API: security.istio.io RequestAuthentication)
 */
import type { JwtRule } from '../core/jwt-plan.ts';
import { parseDuration } from './duration.ts';
import type { FieldReader } from './field-reader.ts';
import { headerNameFault, writtenHeaderFault } from './header-names.ts';
import { checkInlineKeySet } from './inline-key-set.ts';
import { readValues, textFault } from './policy-values.ts';
import type { ValueCheck } from './policy-values.ts';
import { readPolicyTarget } from './read-policy-target.ts';
import type { RequestAuthentication, RequestAuthenticationRule, ResourceOrigin } from './resources.ts';
import { shown } from './yaml-tree.ts';

const DEFAULT_TIMEOUT_MS = 5_000;
const MAX_URI_LENGTH = 2_048;
/** Istio's own form for headers that carry claims. */
const CLAIM_HEADER = /^[-_A-Za-z0-9]+$/;

/** Fields are already known to be the API's; what their values break is noted. */
export function readRequestAuthentication(
  document: FieldReader,
  origin: ResourceOrigin,
): RequestAuthentication {
  const spec = document.object('spec');
  const target = spec === null ? { matchLabels: null, hasTargetRefs: false } : readPolicyTarget(spec);
  return {
    ...origin,
    kind: 'RequestAuthentication',
    ...target,
    rules: (spec?.objects('jwtRules') ?? []).map(readRule),
  };
}

function readRule(rule: FieldReader): RequestAuthenticationRule {
  const issuer = rule.text('issuer') ?? '';
  return {
    issuer,
    audiences: readValues(rule, 'audiences', textFault),
    ...readKeySource(rule, issuer),
    timeoutMs: readTimeout(rule),
    fromHeaders: readFromHeaders(rule),
    fromParams: readValues(rule, 'fromParams', textFault),
    fromCookies: readValues(rule, 'fromCookies', textFault),
    outputPayloadToHeader: readHeaderName(rule, 'outputPayloadToHeader', writtenHeaderFault),
    outputClaimToHeaders: readClaimHeaders(rule),
    forwardOriginalToken: rule.boolean('forwardOriginalToken') ?? false,
    spaceDelimitedClaims: readValues(rule, 'spaceDelimitedClaims', textFault),
  };
}

function readKeySource(
  rule: FieldReader,
  issuer: string,
): { readonly jwks: string; readonly jwksUri: string } {
  const jwks = rule.text('jwks') ?? '';
  const names = ['jwksUri', 'jwks_uri'].filter((name) => (rule.text(name) ?? '') !== '');
  if (names.length > 1) {
    rule.report(
      'jwks_uri',
      'conflict',
      'the rule has jwksUri and jwks_uri, which are one field',
      'keep jwksUri',
    );
  }
  const [name] = names;
  const jwksUri = name === undefined ? '' : (rule.text(name) ?? '');
  if (name !== undefined) checkUri(rule, name, jwksUri);
  if (jwks !== '') checkInlineKeySet(rule, jwks);
  if (jwks !== '' && name !== undefined) {
    rule.report('jwks', 'conflict', `the rule has ${name} and jwks`, 'keep one of them');
  }
  if (jwks === '' && name === undefined) checkDiscovery(rule, issuer);
  return { jwks, jwksUri };
}

/** Neither keys nor their place are stated: they are found by OIDC discovery on the issuer. */
function checkDiscovery(rule: FieldReader, issuer: string): void {
  if (rule.node('jwks')?.kind === 'map') return;
  if (issuer === '') {
    const fix = 'add issuer, jwksUri or jwks';
    rule.reportSelf('missing_field', 'the rule has neither issuer nor keys', fix);
  } else if (uriFault(issuer) !== null) {
    const message = `"${shown(issuer)}" is no http or https URL, so its keys cannot be found: every token of this rule is refused`;
    rule.reportValue('issuer', 'never_matches', message, 'add jwksUri or jwks', 'warning');
  }
}

function checkUri(rule: FieldReader, name: string, text: string): void {
  const fault = uriFault(text);
  const fix = 'write a URL like https://issuer.example/.well-known/jwks.json';
  if (fault !== null) rule.reportValue(name, 'bad_value', fault, fix);
}

function uriFault(text: string): string | null {
  if (text.length > MAX_URI_LENGTH)
    return `the URL has ${text.length} characters, more than ${MAX_URI_LENGTH}`;
  const url = URL.parse(text);
  // Credentials are not said aloud.
  if (url === null) return 'the text is not a URL';
  if (url.username !== '' || url.password !== '') return 'the URL has a user name or a password';
  const isHttp = /^https?:\/\/[^/]/i.test(text) && (url.protocol === 'http:' || url.protocol === 'https:');
  return isHttp ? null : `"${shown(text)}" is not a http or https URL`;
}

function readTimeout(rule: FieldReader): number {
  const text = rule.text('timeout');
  if (text === null) return DEFAULT_TIMEOUT_MS;
  const timeoutMs = parseDuration(text);
  if (timeoutMs !== null && timeoutMs > 0) return timeoutMs;
  const message = `"${shown(text)}" is not a time to wait`;
  rule.reportValue('timeout', 'bad_value', message, 'write it as 5s or 250ms');
  return DEFAULT_TIMEOUT_MS;
}

function readFromHeaders(rule: FieldReader): JwtRule['fromHeaders'] {
  return rule.objects('fromHeaders').map((header) => ({
    name: readHeaderName(header, 'name', headerNameFault, true),
    prefix: header.text('prefix') ?? '',
  }));
}

function readClaimHeaders(rule: FieldReader): JwtRule['outputClaimToHeaders'] {
  return rule.objects('outputClaimToHeaders').map((entry) => {
    const claim = entry.text('claim') ?? '';
    if (claim === '') entry.report('claim', 'missing_field', 'the entry names no claim', 'add claim');
    return { header: readHeaderName(entry, 'header', claimHeaderFault, true), claim };
  });
}

function claimHeaderFault(name: string): ReturnType<ValueCheck> {
  if (CLAIM_HEADER.test(name)) return writtenHeaderFault(name);
  const message = `"${shown(name)}" is not a header for a claim`;
  return { code: 'bad_value', message, fix: 'use letters, digits, "-" and "_"' };
}

/** In lower case, as headers are compared; '' where it is not stated. */
function readHeaderName(reader: FieldReader, field: string, check: ValueCheck, required = false): string {
  const name = reader.text(field) ?? '';
  if (name === '') {
    if (required) reader.report(field, 'missing_field', `the entry has no ${field}`, `add ${field}`);
    return '';
  }
  const fault = check(name);
  if (fault !== null) reader.reportValue(field, fault.code, fault.message, fault.fix);
  return name.toLowerCase();
}
