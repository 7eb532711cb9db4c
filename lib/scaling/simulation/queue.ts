/** A queue of numbers that grows: a ring in one typed array. */
export interface NumberQueue {
  push(value: number): void;
  /** The oldest; -1 when there is none. */
  shift(): number;
  readonly length: number;
}

export function createNumberQueue(): NumberQueue {
  let ring = new Int32Array(1024);
  let head = 0;
  let length = 0;
  return {
    push: (value) => {
      if (length === ring.length) {
        const larger = new Int32Array(2 * length);
        for (let i = 0; i < length; i++) larger[i] = ring[(head + i) & (ring.length - 1)] as number;
        ring = larger;
        head = 0;
      }
      ring[(head + length) & (ring.length - 1)] = value;
      length++;
    },
    shift: () => {
      if (length === 0) return -1;
      const value = ring[head] as number;
      head = (head + 1) & (ring.length - 1);
      length--;
      return value;
    },
    get length() {
      return length;
    },
  };
}
