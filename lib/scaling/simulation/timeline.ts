/** Events in order of time, and of insertion at equal times: a binary heap. */
export interface Timeline {
  at(timeS: number, run: () => void): void;
  /** Time of the next event; Infinity when there is none. */
  nextS(): number;
  /** Takes the next event off and runs it. */
  runNext(): void;
}

interface Entry {
  timeS: number;
  order: number;
  run: () => void;
}

export function createTimeline(): Timeline {
  const heap: Entry[] = [];
  let order = 0;
  const before = (a: Entry, b: Entry): boolean =>
    a.timeS < b.timeS || (a.timeS === b.timeS && a.order < b.order);

  return {
    at: (timeS, run) => {
      const entry = { timeS, order: order++, run };
      let i = heap.push(entry) - 1;
      while (i > 0) {
        const parent = (i - 1) >> 1;
        if (!before(entry, heap[parent] as Entry)) break;
        heap[i] = heap[parent] as Entry;
        i = parent;
      }
      heap[i] = entry;
    },
    nextS: () => heap[0]?.timeS ?? Number.POSITIVE_INFINITY,
    runNext: () => {
      const top = heap[0];
      const last = heap.pop();
      if (top === undefined || last === undefined) return;
      if (heap.length > 0) {
        let i = 0;
        for (;;) {
          let child = 2 * i + 1;
          if (child >= heap.length) break;
          if (child + 1 < heap.length && before(heap[child + 1] as Entry, heap[child] as Entry)) child++;
          if (!before(heap[child] as Entry, last)) break;
          heap[i] = heap[child] as Entry;
          i = child;
        }
        heap[i] = last;
      }
      top.run();
    },
  };
}

/** Which of n clocks rings first: a tournament tree, log n comparisons per change. */
export interface Tournament {
  set(index: number, timeS: number): void;
  /** Index of the earliest; any, when all are at Infinity. */
  first(): number;
  time(index: number): number;
}

export function createTournament(n: number): Tournament {
  let leaves = 1;
  while (leaves < n) leaves *= 2;
  const times = new Float64Array(leaves).fill(Number.POSITIVE_INFINITY);
  const winner = new Int32Array(2 * leaves);
  for (let i = 0; i < leaves; i++) winner[leaves + i] = i;
  for (let i = leaves - 1; i > 0; i--) winner[i] = winner[2 * i] as number;
  return {
    set: (index, timeS) => {
      times[index] = timeS;
      for (let node = (leaves + index) >> 1; node > 0; node >>= 1) {
        const left = winner[2 * node] as number;
        const right = winner[2 * node + 1] as number;
        winner[node] = (times[left] as number) <= (times[right] as number) ? left : right;
      }
    },
    first: () => winner[1] as number,
    time: (index) => times[index] as number,
  };
}
