/**
 * Every bound on what configuration files can make this program hold.
 *
 * Configuration is trusted, its author is not infallible: a mistake ends in a message, never in memory.
 */
export const CONFIG_LIMITS = {
  /** Bytes of one file. */
  maxFileBytes: 16_777_216,
  /** Bytes of all files of one load. */
  maxTotalBytes: 134_217_728,
  /** Files of one load. */
  maxFiles: 10_000,
  /** Documents of one load, items of lists included. */
  maxDocuments: 100_000,
  /** Values of one file after anchors are expanded. */
  maxNodesPerFile: 2_000_000,
  /** Levels of nesting of one document. */
  maxDepth: 64,
  /** Problems kept of one load; the rest is counted. */
  maxProblems: 1_000,
  /** Entries of a folder that are looked at. */
  maxFolderEntries: 100_000,
} as const;
