/**
 * First in, first out, with a bound: `push` says no when full instead of growing. Constant time at both ends.
 */
export interface BoundedQueue<T> {
  readonly capacity: number;
  readonly size: number;
  /** False, and nothing changed, when full. */
  push(item: T): boolean;
  shift(): T | undefined;
  /** In order, without taking them. */
  forEach(visit: (item: T) => void): void;
  /** Empties the queue; the items in order. */
  clear(): T[];
}

export function createBoundedQueue<T>(capacity: number): BoundedQueue<T> {
  if (!(capacity >= 1)) throw new RangeError(`capacity must be at least 1, got ${capacity}`);
  let items: (T | undefined)[] = [];
  let head = 0;
  const compact = (): void => {
    items = items.slice(head);
    head = 0;
  };
  return {
    capacity,
    get size() {
      return items.length - head;
    },
    push(item) {
      if (items.length - head >= capacity) return false;
      items.push(item);
      return true;
    },
    shift() {
      if (head === items.length) return undefined;
      const item = items[head];
      items[head++] = undefined;
      if (head === items.length) {
        items.length = 0;
        head = 0;
      } else if (head > 1024 && head * 2 > items.length) compact();
      return item;
    },
    forEach(visit) {
      for (let i = head; i < items.length; i++) visit(items[i] as T);
    },
    clear() {
      const rest = items.slice(head) as T[];
      items = [];
      head = 0;
      return rest;
    },
  };
}
