/**
 * A request or connection to be judged, as a request file states it, defaults filled in where they do not depend on
 * the workload.
 */

/** What a provider of a CUSTOM policy is taken to answer. */
export type ProviderAnswer = 'allow' | 'deny' | 'error';

export interface ExplainRequest {
  readonly to: {
    /** The workload's port; null: its only HTTP port, else 80. */
    readonly port: number | null;
    /** '' : not stated. */
    readonly ip: string;
  };
  readonly from: {
    /** SANs of the client's certificate; null: it presents none. */
    readonly sans: readonly string[] | null;
    /** '' : not stated. */
    readonly ip: string;
  };
  /** What the ClientHello says; null: plaintext, or a mesh client where `from` has a certificate. */
  readonly tls: { readonly sni: string | null; readonly alpn: readonly string[] | null } | null;
  /** null: a TCP connection. */
  readonly http: StatedHttp | null;
  /** null: `extAuthz` does not say. */
  readonly extAuthz: (provider: string) => ProviderAnswer | null;
}

export interface StatedHttp {
  readonly method: string;
  /** With query, as it would stand in the request line. */
  readonly path: string;
  readonly host: string;
  /** Name, value, name, value …, as written. */
  readonly headers: readonly string[];
  readonly jwt: StatedToken | null;
}

/** `claims`: of a token that verified. `token`: to be verified. */
export type StatedToken =
  | { readonly kind: 'claims'; readonly claims: Readonly<Record<string, unknown>> }
  | { readonly kind: 'token'; readonly token: string };
