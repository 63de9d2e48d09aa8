/**
 * Forms of names in Istio and Kubernetes documents: hosts, namespaces, ports, trust domains, addresses.
 */
import { isIP } from 'node:net';

/** RFC 1123 names as Kubernetes takes them; it also keeps them printable. */
const SUBDOMAIN = /^[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?$/;
const LABEL = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
const DNS_LABEL = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/i;
const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/;

export const HOST_FIX = 'write a DNS name like reviews.foo.svc.cluster.local';
export const TRUST_DOMAIN_FIX = 'use a-z, 0-9, ".", "-" and "_", at most 255 characters';

/** Names of most resources. */
export function isSubdomain(text: string): boolean {
  return SUBDOMAIN.test(text);
}

/** Namespaces and names of ports. */
export function isLabel(text: string): boolean {
  return LABEL.test(text);
}

/** SPIFFE ID specification 2.1. */
export function isTrustDomain(text: string): boolean {
  return TRUST_DOMAIN.test(text);
}

/** A DNS name, which may be a short one. */
export function isDnsName(text: string): boolean {
  return text.length <= 253 && text.split('.').every((label) => DNS_LABEL.test(label));
}

/** A DNS name, or one whose first label is `*`. */
export function isDnsPattern(text: string): boolean {
  return isDnsName(text.startsWith('*.') ? text.slice(2) : text);
}

/** `10.0.0.0/8`, `fd00::/8`. */
export function isCidr(text: string): boolean {
  // A zone means something on one host only.
  if (text.includes('%')) return false;
  const slash = text.indexOf('/');
  const family = isIP(text.slice(0, Math.max(0, slash)));
  const bits = text.slice(slash + 1);
  return family !== 0 && /^(?:0|[1-9]\d{0,2})$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);
}

/** An address, or a block of them. */
export function isIpOrCidr(text: string): boolean {
  return (isIP(text) !== 0 && !text.includes('%')) || isCidr(text);
}
