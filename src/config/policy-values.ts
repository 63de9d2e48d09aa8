/**
 * What the values of AuthorizationPolicy fields may be. What Istio would skip at run time, and so make a DENY catch
 * less, is a fault here. (Istio: validation of AuthorizationPolicy)
 */
import type { FieldReader } from './field-reader.ts';
import { isIpOrCidr } from './istio-names.ts';
import type { ProblemCode, Severity } from './problem.ts';
import { shown } from './yaml-tree.ts';

export interface ValueFault {
  readonly code: ProblemCode;
  readonly message: string;
  readonly fix: string;
  /** Absent: error. */
  readonly severity?: Severity;
}

/** null: the value is good. */
export type ValueCheck = (value: string) => ValueFault | null;

const MAX_SERVICE_ACCOUNT_LENGTH = 320;

/** A list of texts, each checked where it stands. */
export function readValues(reader: FieldReader, name: string, check: ValueCheck): string[] {
  const items = reader.textItems(name);
  for (const { value, node, path } of items) {
    const fault = check(value);
    if (fault !== null) {
      reader.reportAt(node, path, fault.code, fault.message, fault.fix, fault.severity ?? 'error');
    }
  }
  return items.map(({ value }) => value);
}

export function textFault(value: string): ValueFault | null {
  return value === '' ? bad(value, 'is empty', 'write a value, or remove it') : null;
}

export function ipBlockFault(value: string): ValueFault | null {
  return isIpOrCidr(value)
    ? null
    : bad(value, 'is neither an IP address nor a CIDR block', 'write 10.0.0.1 or 10.0.0.0/24');
}

export function portFault(value: string): ValueFault | null {
  const isPort = /^[1-9]\d{0,4}$/.test(value) && Number(value) <= 65_535;
  return isPort ? null : bad(value, 'is not a port', 'write a workload port from "1" to "65535"');
}

/** An identity as Istio writes it: without the scheme, which it puts before the value itself. */
export function principalFault(value: string): ValueFault | null {
  if (!value.startsWith('spiffe://')) return textFault(value);
  return {
    code: 'never_matches',
    message: `"${shown(value)}" matches no identity: "spiffe://" is put before the value`,
    fix: `write "${shown(value.slice('spiffe://'.length))}"`,
    severity: 'warning',
  };
}

/** `namespace/name`, or `name` in the namespace of the policy. A name is never a pattern. */
export function serviceAccountFault(value: string): ValueFault | null {
  const fix = 'write NAME or NAMESPACE/NAME';
  if (value.length > MAX_SERVICE_ACCOUNT_LENGTH) {
    return bad(value, `is longer than ${MAX_SERVICE_ACCOUNT_LENGTH} characters`, fix);
  }
  if (value.includes('*')) {
    return bad(
      value,
      'has a "*", and service accounts have no wildcards',
      'list the names, or use principals',
    );
  }
  const parts = value.split('/');
  if (parts.length > 2) return bad(value, 'has more than one "/"', fix);
  if (parts.includes('')) return bad(value, 'has no namespace or no name', fix);
  return null;
}

export function trustDomainFault(value: string): ValueFault | null {
  if (value.includes('/')) return bad(value, 'is not a trust domain', 'write it without "/"');
  const inner = value.startsWith('*') ? value.slice(1) : value.replace(/\*$/, '');
  if (inner.includes('*')) {
    return bad(value, 'has a "*" in its middle or two of them', 'write one "*", at the beginning or the end');
  }
  return textFault(value);
}

export function bad(value: string, what: string, fix: string, code: ProblemCode = 'bad_value'): ValueFault {
  return { code, message: value === '' ? `the value ${what}` : `"${shown(value)}" ${what}`, fix };
}
