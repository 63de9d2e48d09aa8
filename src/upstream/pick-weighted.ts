/**
 * Envoy's least request with unequal weights: earliest deadline first, where an endpoint's share is its weight
 * divided by what it is busy with. One pass over the endpoints a pick.
 */
export interface WeightedEndpoint {
  readonly weight: number;
  /** In virtual time; whoever is due first is picked. */
  deadline: number;
}

export class WeightedPicker {
  #now = 0;

  /** `isOut` endpoints are passed over; -1 if all are. */
  pick(
    endpoints: readonly WeightedEndpoint[],
    isOut: (index: number) => boolean,
    active: (index: number) => number,
  ): number {
    let best = -1;
    for (let i = 0; i < endpoints.length; i++) {
      if (isOut(i)) continue;
      if (best === -1 || endpoints[i]!.deadline < endpoints[best]!.deadline) best = i;
    }
    if (best === -1) return -1;
    const chosen = endpoints[best]!;
    this.#now = Math.max(this.#now, chosen.deadline);
    chosen.deadline = this.#now + (active(best) + 1) / chosen.weight;
    return best;
  }
}
