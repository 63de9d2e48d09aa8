/** Envoy's messages as proto3 JSON: plain objects with names as in Envoy's API, in camelCase. */

export type EnvoyMessage = Readonly<Record<string, unknown>>;

/** `typedConfig` of an extension; `type` without `type.googleapis.com/`. */
export function typed(type: string, fields: EnvoyMessage): EnvoyMessage {
  return { '@type': `type.googleapis.com/${type}`, ...fields };
}

/** A filter or another extension, under the name by which Envoy logs it. */
export function extension(name: string, type: string, fields: EnvoyMessage): EnvoyMessage {
  return { name, typedConfig: typed(type, fields) };
}

/** google.protobuf.Duration: `0.250s`. */
export function duration(milliseconds: number): string {
  return milliseconds % 1000 === 0 ? `${milliseconds / 1000}s` : `${(milliseconds / 1000).toFixed(3)}s`;
}
