/** The guard against guessing: counts failed credentials by client network. */
export interface GuessGuard {
  /** What `failed` would return, without counting. */
  peek(network: string): number;
  /** Counts a failure. Seconds to wait when the network was over the bound already, else 0. */
  failed(network: string): number;
}
