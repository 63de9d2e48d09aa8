/**
 * RequestAuthentication as it reaches the data half: the rules of all policies that apply to this workload, and the
 * key sets that the control half fetches for them. Plain and structured-cloneable.
 */

/** One JWTRule (Istio API, security/v1 RequestAuthentication). */
export interface JwtRule {
  /** '' : any issuer. */
  readonly issuer: string;
  /** Empty: not checked. */
  readonly audiences: readonly string[];
  /** The inline key set's JSON text, or ''. */
  readonly jwks: string;
  /** Which fetched key set: `KeySet.name`; '' where `jwks` is inline. */
  readonly keySet: string;
  /** All three empty: `Authorization: Bearer ` and the query parameter `access_token`. Names in lower case. */
  readonly fromHeaders: readonly { readonly name: string; readonly prefix: string }[];
  readonly fromParams: readonly string[];
  readonly fromCookies: readonly string[];
  /** Lower case; '' for none. */
  readonly outputPayloadToHeader: string;
  /** Header names in lower case. */
  readonly outputClaimToHeaders: readonly { readonly header: string; readonly claim: string }[];
  readonly forwardOriginalToken: boolean;
  /** Claims that are split on blanks besides `scope` and `permission`. */
  readonly spaceDelimitedClaims: readonly string[];
  /** `RequestAuthentication foo/jwt rule 0`, for logs and explanations. */
  readonly from: string;
}

/** Where a key set comes from; what the control half fetches. */
export interface KeySetPlan {
  /** Unique: issuer, a blank, URI. */
  readonly name: string;
  readonly issuer: string;
  /** '' : found by OIDC discovery on the issuer. */
  readonly jwksUri: string;
  readonly timeoutMs: number;
}

export interface JwtPlan {
  /** In Istio's order: sorted by issuer. Empty: no RequestAuthentication applies. */
  readonly rules: readonly JwtRule[];
  readonly keySets: readonly KeySetPlan[];
}

export const NO_JWT: JwtPlan = { rules: [], keySets: [] };

/** A key set as fetched; replaces what was known under its name. */
export interface FetchedKeySet {
  readonly name: string;
  /** JSON text of the key set; null: it was never fetched, tokens that need it are refused. */
  readonly jwks: string | null;
}

/** A token that was verified: only ever made by the verifier, or stated by a test request. */
export interface VerifiedToken {
  readonly issuer: string;
  readonly subject: string;
  /** The payload with blank-delimited claims made lists; parsed from JSON, so plain. */
  readonly payload: Readonly<Record<string, unknown>>;
}
