/** Who may see what: `exportTo` of Services, ServiceEntries and DestinationRules (API: networking.istio.io). */

/** Whether a document of `owner` with this exportTo is seen from `client`, both namespaces. Empty: by all. */
export function isVisible(exportTo: readonly string[], owner: string, client: string): boolean {
  if (exportTo.length === 0) return true;
  return exportTo.some((entry) => entry === '*' || entry === client || (entry === '.' && owner === client));
}

/** Whether it is kept to its own namespace. */
export function isPrivate(exportTo: readonly string[], owner: string): boolean {
  return exportTo.length === 1 && (exportTo[0] === '.' || exportTo[0] === owner);
}
