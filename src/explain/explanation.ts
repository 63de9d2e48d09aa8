/**
 * The answer of `explain`: the shape that `postern explain --output json` prints and the library gives.
 */
import type { MtlsMode } from '../mesh/plan.ts';
import type { PolicyTrace } from '../policy/decision.ts';

export type Verdict = 'allow' | 'deny' | 'undecided';

/** In the order of evaluation. Those with `_DRY_RUN` decide nothing; `DRY_RUN` sums them up. */
export type StepName =
  | 'CUSTOM'
  | 'CUSTOM_DRY_RUN'
  | 'JWT'
  | 'AUDIT'
  | 'DENY'
  | 'DENY_DRY_RUN'
  | 'ALLOW'
  | 'ALLOW_DRY_RUN'
  | 'DRY_RUN';

export interface ExplanationStep {
  readonly step: StepName;
  readonly policies: readonly PolicyTrace[];
  /**
   * `no policy`, `no match`, `allow`, `deny`, `undecided`, `audit`, `verified`, `no token`, `ignored`, `not reached`, in
   * dry run `would …`; after a colon, why.
   */
  readonly outcome: string;
}

/** What decided. */
export interface DecidedBy {
  readonly step: StepName;
  /** `NAMESPACE/NAME` of the AuthorizationPolicy or RequestAuthentication. */
  readonly policy: string;
  readonly rule: number;
  /** Envoy's name of the rule. */
  readonly key: string;
}

/** The rule that came nearest to allowing, and the first field that it missed on. */
export interface ClosestMiss {
  readonly policy: string;
  readonly rule: number;
  readonly key: string;
  readonly field: string;
  readonly wanted: readonly string[];
  readonly got: readonly string[];
}

export interface Explanation {
  readonly verdict: Verdict;
  /**
   * The HTTP status that the client gets, 200 for gRPC calls, which are refused by grpc-status; null: the app's own, or
   * none, since the connection is closed.
   */
  readonly status: number | null;
  /** RESPONSE_CODE_DETAILS, or why the connection is closed; '' where it is let through. */
  readonly details: string;
  /** `received` is with the query, `normalised` without; null: there is no path, or nobody reads it. */
  readonly path: { readonly received: string | null; readonly normalised: string | null };
  readonly arrival: {
    readonly mode: MtlsMode;
    /** `http mTLS`, `http plaintext`, `tcp mTLS`, `tcp plaintext`, `tcp TLS untouched`; null: none takes it. */
    readonly chain: string | null;
    /** What sets the mode: `PeerAuthentication foo/default`, or that there is none. */
    readonly modeFrom: string;
  };
  /** Empty where no chain takes the connection or the head of the request is refused. */
  readonly steps: readonly ExplanationStep[];
  /** null: no rule did. */
  readonly decidedBy: DecidedBy | null;
  /** Only where ALLOW policies apply and none of their rules matched. */
  readonly closest: ClosestMiss | null;
  /** All of it in one sentence: `denied: …`. */
  readonly reason: string;
}
