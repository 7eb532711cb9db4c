/**
 * Seeded randomness. Two kinds, for two needs:
 *
 * - `createRandom(seed)`: a stream of numbers, for shuffles and synthetic data (mulberry32).
 * - `uniformAt(seed, index)`: the index-th number of a seed without a stream, so that a draw depends on
 *   nothing but its own name, whatever else runs in between.
 *
 * Neither is fit for cryptography.
 */

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform integer in [0, bound). */
  below(bound: number): number;
  /** Standard normal. */
  normal(): number;
  pick<T>(items: readonly T[]): T;
  /** A new array with the items in random order. */
  shuffle<T>(items: readonly T[]): T[];
}

export function createRandom(seed: number): Random {
  return new Mulberry32(seed);
}

class Mulberry32 implements Random {
  #state: number;

  constructor(seed: number) {
    this.#state = mix32(seed >>> 0) ^ 0x9e3779b9;
  }

  next(): number {
    const state = (this.#state + 0x6d2b79f5) | 0;
    this.#state = state;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  below(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.next())) * Math.cos(2 * Math.PI * this.next());
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  shuffle<T>(items: readonly T[]): T[] {
    const out = [...items];
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [out[i], out[j]] = [out[j] as T, out[i] as T];
    }
    return out;
  }
}

/** A 32-bit seed from any number of parts (run seed, group id, vote index …); order matters. */
export function seedFrom(...parts: (string | number)[]): number {
  let h = 0x811c9dc5;
  for (const part of parts) {
    const text = typeof part === "number" ? `#${part}` : `$${part}`;
    for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
    h = mix32(h ^ 0x1f);
  }
  return h >>> 0;
}

/** The index-th uniform number in [0, 1) of a seed. */
export function uniformAt(seed: number, index: number): number {
  return mix32(mix32(seed ^ 0x85ebca6b) + Math.imul(index + 1, 0x9e3779b1)) / 4294967296;
}

/** MurmurHash3's 32-bit finaliser: a bijection with good avalanche. */
function mix32(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
