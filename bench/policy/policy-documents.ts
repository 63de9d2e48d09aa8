/** Istio's documents of the namespace in which the workload is, and the parts that rules are put together from. */

export function allow(name: string, ...parts: readonly object[]): object {
  return authorizationPolicy(name, { action: 'ALLOW', rules: [Object.assign({}, ...parts)] });
}

export function deny(name: string, ...parts: readonly object[]): object {
  return authorizationPolicy(name, { action: 'DENY', rules: [Object.assign({}, ...parts)] });
}

/** `spec` is whole. */
export function authorizationPolicy(name: string, spec: object): object {
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name, namespace: 'foo' },
    spec,
  };
}

export function source(fields: object): object {
  return { from: [{ source: fields }] };
}

export function operation(fields: object): object {
  return { to: [{ operation: fields }] };
}

export function claim(name: string, value: string): object {
  return { when: [{ key: `request.auth.claims[${name}]`, values: [value] }] };
}

/** Documents as the text of one file: JSON is YAML. */
export function documentText(documents: readonly object[]): string {
  return documents.map((document) => `${JSON.stringify(document)}\n`).join('---\n');
}
