/**
 * What can be wrong with a token, in the words of Envoy's jwt_authn: they are the body of the answer and part of its
 * details, and people search logs for them.
 */

export const JWT_STATUS = {
  expired: 'Jwt is expired',
  notYetValid: 'Jwt not yet valid',
  unknownIssuer: 'Jwt issuer is not configured',
  audienceNotAllowed: 'Audiences in Jwt are not allowed',
  verificationFails: 'Jwt verification fails',
  noKeyMatches: "Jwks doesn't have key to match kid or alg from Jwt",
  noValidKey: "Jwks doesn't have any valid public key",
  fetchFailed: 'Jwks remote fetch is failed',
  badFormat: 'Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections',
  headerBase64: 'Jwt header is an invalid Base64url encoded',
  headerJson: 'Jwt header is an invalid JSON',
  algMissing: 'Jwt header [alg] field is required and must be a string',
  algUnknown: 'Jwt header [alg] is not supported',
  kidNotString: 'Jwt header [kid] field is not a string',
  payloadBase64: 'Jwt payload is an invalid Base64url encoded',
  payloadJson: 'Jwt payload is an invalid JSON',
  issNotString: 'Jwt payload [iss] field is not a string',
  subNotString: 'Jwt payload [sub] field is not a string',
  jtiNotString: 'Jwt payload [jti] field is not a string',
  iatNotInteger: 'Jwt payload [iat] field is not an integer',
  nbfNotInteger: 'Jwt payload [nbf] field is not an integer',
  expNotInteger: 'Jwt payload [exp] field is not an integer',
  iatOutOfRange: 'Jwt payload [iat] field is not a positive 64 bit integer',
  nbfOutOfRange: 'Jwt payload [nbf] field is not a positive 64 bit integer',
  expOutOfRange: 'Jwt payload [exp] field is not a positive 64 bit integer',
  audNotStrings: 'Jwt payload [aud] field is not a string or string list',
  signatureBase64: 'Jwt signature is an invalid Base64url encoded',
  ed25519Length: 'Jwt ED25519 signature is wrong length',
} as const;

export type JwtStatus = keyof typeof JWT_STATUS;

/** Why a token is refused; `why` is for the log and never holds the token or its signature. */
export interface JwtProblem {
  readonly status: JwtStatus;
  readonly why: string;
}

/** Only a wrong audience is a matter of rights. */
export function httpStatusOf(status: JwtStatus): 401 | 403 {
  return status === 'audienceNotAllowed' ? 403 : 401;
}
