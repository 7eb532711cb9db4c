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
  return new ArrayQueue(capacity);
}

class ArrayQueue<T> implements BoundedQueue<T> {
  readonly capacity: number;
  #items: (T | undefined)[] = [];
  #head = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get size(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): boolean {
    if (this.size >= this.capacity) return false;
    this.#items.push(item);
    return true;
  }

  shift(): T | undefined {
    const items = this.#items;
    const head = this.#head;
    if (head === items.length) return undefined;
    const item = items[head];
    items[head] = undefined;
    this.#head = head + 1;
    if (this.#head === items.length) {
      items.length = 0;
      this.#head = 0;
    } else if (this.#head > 1024 && this.#head * 2 > items.length) {
      this.#items = items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  forEach(visit: (item: T) => void): void {
    for (let i = this.#head; i < this.#items.length; i++) visit(this.#items[i] as T);
  }

  clear(): T[] {
    const rest = this.#items.slice(this.#head) as T[];
    this.#items = [];
    this.#head = 0;
    return rest;
  }
}
