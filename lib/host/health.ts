/**
 * Is this process ready for work? Ready means: running, and no component says otherwise.
 *
 * Liveness is another question: a live process that is not ready must not be restarted, only left alone.
 */
export interface HealthReport {
  ready: boolean;
  /** What stands in the way, by component; empty when ready. */
  notReady: Record<string, string>;
}

export interface Health {
  /** A component that is not ready says why in a few words. Components are ready until they say otherwise. */
  setReady(component: string, ready: boolean, why?: string): void;
  report(): HealthReport;
  /** Called at once and on every change of `ready`. Returns the removal. */
  onChange(listener: (ready: boolean) => void): () => void;
}

export function createHealth(): Health {
  const blocking = new Map<string, string>();
  const listeners = new Set<(ready: boolean) => void>();
  return {
    setReady: (component, ready, why) => {
      const before = blocking.size === 0;
      if (ready) blocking.delete(component);
      else blocking.set(component, why ?? "not ready");
      const after = blocking.size === 0;
      if (before !== after) for (const listener of [...listeners]) listener(after);
    },
    report: () => ({ ready: blocking.size === 0, notReady: Object.fromEntries(blocking) }),
    onChange: (listener) => {
      listeners.add(listener);
      listener(blocking.size === 0);
      return () => listeners.delete(listener);
    },
  };
}
