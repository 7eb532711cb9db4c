/**
 * SIGTERM and SIGINT drain the host; a second one ends the process at once, for people in a hurry.
 *
 * The process stays alive until `host.done`, and ends by itself when nothing is left to do.
 */
import type { Host } from "./host.js";

export interface SignalSource {
  on(event: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
  off(event: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
}

const exitCodes: Partial<Record<NodeJS.Signals, number>> = { SIGINT: 130, SIGTERM: 143 };

/** Returns the removal of the handlers; it also happens by itself when the host is done. */
export function stopOnSignals(
  host: Pick<Host, "stop" | "done" | "log">,
  options: { source?: SignalSource; exit?: (code: number) => void } = {},
): () => void {
  const source = options.source ?? process;
  const exit = options.exit ?? ((code) => process.exit(code));
  let seen = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    seen += 1;
    if (seen > 1) {
      exit(exitCodes[signal] ?? 1);
      return;
    }
    host.log.info({ signal }, `${signal}: draining; a second signal ends at once`);
    void host.stop(signal);
  };
  const remove = (): void => {
    source.off("SIGTERM", onSignal);
    source.off("SIGINT", onSignal);
  };
  source.on("SIGTERM", onSignal);
  source.on("SIGINT", onSignal);
  void host.done.then(remove);
  return remove;
}
