/**
 * `requestPrincipals` and `request.auth.principal`: split at the last slash into issuer and subject, which are matched
 * apart from each other (Istio's requestPrincipalGenerator).
 */
import { ExactText, NonEmptyText, PrefixText, SuffixText } from './text-matcher.ts';
import type { TextKey, TextMatcher } from './text-matcher.ts';

export interface RequestPrincipalMatcher {
  readonly issuer: TextMatcher;
  readonly subject: TextMatcher;
  /** Of the issuer, a slash and the subject in one text. */
  readonly key: TextKey;
}

export function requestPrincipalMatcher(value: string): RequestPrincipalMatcher {
  const slash = value.lastIndexOf('/');
  const issuer = slash === -1 ? value : value.slice(0, slash);
  const subject = slash === -1 ? null : value.slice(slash + 1);
  if (value === '*') {
    return { issuer: new NonEmptyText(), subject: new NonEmptyText(), key: { kind: 'prefix', text: '' } };
  }
  if (value.startsWith('*')) return leadingStar(issuer, subject);
  if (value.endsWith('*')) return trailingStar(issuer, subject);
  return {
    issuer: new ExactText(issuer),
    subject: new ExactText(subject ?? ''),
    key: { kind: 'exact', text: `${issuer}/${subject ?? ''}` },
  };
}

/** A star before issuer or subject: a trailing star is then a star. */
function leadingStar(issuer: string, subject: string | null): RequestPrincipalMatcher {
  const rest = issuer.slice(1);
  if (subject === null) {
    return {
      issuer: new NonEmptyText(),
      subject: new SuffixText(rest),
      key: { kind: 'suffix', text: rest },
    };
  }
  return {
    issuer: issuer === '*' ? new NonEmptyText() : new SuffixText(rest),
    subject: new ExactText(subject),
    key: { kind: 'suffix', text: `${rest}/${subject}` },
  };
}

/** `foo*`, `foo/*`, `foo/ba*`. */
function trailingStar(issuer: string, subject: string | null): RequestPrincipalMatcher {
  if (subject === null) {
    const rest = issuer.slice(0, -1);
    return {
      issuer: new PrefixText(rest),
      subject: new NonEmptyText(),
      key: { kind: 'prefix', text: rest },
    };
  }
  const rest = subject.slice(0, -1);
  return {
    issuer: new ExactText(issuer),
    subject: subject === '*' ? new NonEmptyText() : new PrefixText(rest),
    key: { kind: 'prefix', text: `${issuer}/${rest}` },
  };
}
