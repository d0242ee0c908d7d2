import type { Permit } from '../core/decide.ts';
import { type Denial, deny } from '../core/decision.ts';
import type { Case, Verdict } from './judge.ts';

/** A verdict with everything that the gate adds to it. */
export interface Settled {
  readonly verdict: Verdict;
  /** What shadow mode lets through. */
  readonly shadowed: Denial | null;
  /** A denial that came after the permit. */
  readonly forwarding: boolean;
}

/**
 * What stands after the judgment: whoever fails too often is told to wait instead, and a route has its bound on bodies.
 * `failed` says for how many seconds a network has to wait that has failed once more; 0: it need not.
 */
export function settle(of: Case, verdict: Verdict, failed: (network: string) => number): Settled {
  if (verdict.kind === 'preflight' || verdict.kind === 'mounted') return { verdict, shadowed: null, forwarding: false };
  const network = of.client?.network ?? of.asked.connection.peer;
  const guarded = (denial: Denial): Denial => {
    // It was not even tried: whether it is wrong is not known, and does not count.
    if (denial.code === 'too_many_failures') return tooMany(denial, Math.max(1, of.policy.guard.peek(network)));
    if (denial.code !== 'invalid_token' && denial.guessed !== true) return denial;
    const wait = failed(network);
    return wait === 0 ? denial : tooMany(denial, wait);
  };
  if (verdict.kind === 'denial') return { verdict: guarded(verdict), shadowed: null, forwarding: false };
  const shadowed = verdict.shadowed === null ? null : guarded(verdict.shadowed);
  const large = tooLarge(of, verdict);
  return { verdict: large ?? verdict, shadowed, forwarding: large !== null };
}

const tooMany = ({ subject, reason, compared }: Denial, wait: number): Denial =>
  deny('too_many_failures', 'Too many failed credentials from this network.', {
    retryAfter: wait,
    subject,
    compared: { ...compared, cause: reason.replace(/^invalid_token_/, ''), retry_after: wait },
  });

/** A body that says itself that it is over the bound of its route. */
function tooLarge({ form }: Case, { route, subject }: Permit): Denial | null {
  if (route.maxBody === null || form?.framing.kind !== 'length' || form.framing.length <= route.maxBody) return null;
  return deny('body_too_large', `The body is over ${route.maxBody} bytes.`, { subject });
}
