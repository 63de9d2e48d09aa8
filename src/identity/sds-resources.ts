/**
 * The two kinds of secret that SDS carries here, in and out of its messages. Both ends use it.
 */
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { messageOf } from '../core/errors.ts';
import { quoteText } from '../svid/quote-text.ts';
import type { DataSource, DataSourceSchema } from '../wire/gen/envoy/config/core/v3/base_pb.ts';
import { SecretSchema } from '../wire/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts';
import type { DiscoveryResponse } from '../wire/gen/envoy/service/discovery/v3/discovery_pb.ts';

export const DEFAULT_CERTIFICATE_NAME = 'default';
export const DEFAULT_BUNDLE_NAME = 'ROOTCA';
export const SECRET_TYPE_URL: string = `type.googleapis.com/${SecretSchema.typeName}`;

/** Of either end's requests and answers; a bundle of a hundred roots has a fifth of it. */
export const MAX_SDS_MESSAGE_BYTES = 1_048_576;
/** Of a reason that goes to the other end or into the log. */
export const MAX_REASON_LENGTH = 512;

/** What an answer said: a certificate with its key, or roots. PEM as it came, not looked at yet. */
export type SdsContent =
  | { readonly kind: 'certificate'; readonly chainPem: string; readonly keyPem: string }
  | { readonly kind: 'bundle'; readonly rootsPem: string };

export type SdsKind = SdsContent['kind'];

export function packCertificate(name: string, chainPem: string, keyPem: string): Any {
  return pack({
    name,
    type: {
      case: 'tlsCertificate',
      value: { certificateChain: inline(chainPem), privateKey: inline(keyPem) },
    },
  });
}

export function packBundle(name: string, rootsPem: string): Any {
  return pack({ name, type: { case: 'validationContext', value: { trustedCa: inline(rootsPem) } } });
}

/** Takes what Envoy takes: exactly one resource, of the name that was asked for, with its bytes inline. */
export function readAnswer(
  answer: DiscoveryResponse,
  name: string,
  kind: SdsKind,
): SdsContent | { readonly problem: string } {
  const [resource] = answer.resources;
  if (answer.typeUrl !== '' && answer.typeUrl !== SECRET_TYPE_URL)
    return { problem: `the answer is of type ${quoteText(answer.typeUrl)}, not "${SECRET_TYPE_URL}"` };
  if (resource === undefined || answer.resources.length > 1)
    return { problem: `the answer has ${answer.resources.length} secrets, not one` };
  if (resource.typeUrl !== SECRET_TYPE_URL)
    return { problem: `the secret is of type ${quoteText(resource.typeUrl)}, not "${SECRET_TYPE_URL}"` };
  let secret;
  try {
    secret = fromBinary(SecretSchema, resource.value, { readUnknownFields: false });
  } catch (thrown) {
    return { problem: `the secret cannot be read: ${messageOf(thrown)}` };
  }
  if (secret.name !== name)
    return { problem: `the secret is named ${quoteText(secret.name)}, not "${name}"` };
  if (kind === 'bundle') {
    if (secret.type.case !== 'validationContext') return { problem: 'the secret has no validation_context' };
    const rootsPem = inlineText(secret.type.value.trustedCa);
    return rootsPem === null ? { problem: 'trusted_ca is not inline' } : { kind, rootsPem };
  }
  if (secret.type.case !== 'tlsCertificate') return { problem: 'the secret has no tls_certificate' };
  const chainPem = inlineText(secret.type.value.certificateChain);
  const keyPem = inlineText(secret.type.value.privateKey);
  if (chainPem === null) return { problem: 'certificate_chain is not inline' };
  if (keyPem === null) return { problem: 'private_key is not inline' };
  return { kind, chainPem, keyPem };
}

/** A reason that fits into a gRPC status and a log line: one line of printable ASCII, cut to a bound. */
export function shortReason(text: string): string {
  const plain = text.replaceAll(/[^\x20-\x7e]+/g, ' ').trim();
  return plain.length <= MAX_REASON_LENGTH ? plain : `${plain.slice(0, MAX_REASON_LENGTH - 1)}~`;
}

function pack(secret: MessageInitShape<typeof SecretSchema>): Any {
  const value = toBinary(SecretSchema, create(SecretSchema, secret));
  return create(AnySchema, { typeUrl: SECRET_TYPE_URL, value });
}

function inline(text: string): MessageInitShape<typeof DataSourceSchema> {
  return { specifier: { case: 'inlineBytes', value: new TextEncoder().encode(text) } };
}

/** null: a name of a file or of a variable, which is nothing that a server may have us read. */
function inlineText(source: DataSource | undefined): string | null {
  if (source?.specifier.case === 'inlineString') return source.specifier.value;
  if (source?.specifier.case === 'inlineBytes') return new TextDecoder().decode(source.specifier.value);
  return null;
}
