/** SIGTERM and SIGINT: the first one asks for a good end, a second one ends the process at once. */
import { monotonicMs } from '../core/clock.ts';
import { EXIT_NEGATIVE } from './command.ts';

/** One Ctrl-C under npm arrives twice within a millisecond: from the terminal and from npm. */
const SAME_SIGNAL_MS = 200;

/** Calls back at the first signal. */
export function onStopSignal(onFirst: () => void): void {
  let firstAtMs = -1;
  const onSignal = (): void => {
    if (firstAtMs < 0) {
      firstAtMs = monotonicMs();
      onFirst();
    } else if (monotonicMs() - firstAtMs > SAME_SIGNAL_MS) process.exit(EXIT_NEGATIVE);
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}
