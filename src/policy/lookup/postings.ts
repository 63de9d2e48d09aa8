/** Ranks of rules in ascending order; a rank is a rule's place in the order of keys. */
export type Postings = readonly number[];

/** Whoever wants to hear of the postings that a look-up hits. */
export interface PostingsSink {
  consider(postings: Postings): void;
}
