/**
 * A stream of events with listeners in the same process. Publishing is synchronous and never fails: a
 * listener that throws is dropped, because the publisher can do nothing about it.
 */
export interface EventSource<E> {
  /** Called for each later event, until the returned function is called. */
  subscribe(listener: (event: E) => void): () => void;
}

export interface EventStream<E> extends EventSource<E> {
  publish(event: E): void;
}

export function createEventStream<E>(): EventStream<E> {
  const listeners = new Set<{ call: (event: E) => void }>();
  return {
    publish(event) {
      if (listeners.size === 0) return;
      for (const listener of [...listeners]) {
        try {
          listener.call(event);
        } catch {
          listeners.delete(listener);
        }
      }
    },
    subscribe(call) {
      const listener = { call };
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
