/** What the provider of the `ext-authz` scenario answers, made once and over both protocols; kept from its own server for the check. */

/** A request with this field is denied. */
export const DENY_FIELD = 'x-bench-deny';

/** What an allowed request gets for the app. */
export const CHECKED_FIELD = { name: 'x-bench-checked', value: 'allowed' } as const;

export const DENIED_BODY = 'the provider says no\n';
