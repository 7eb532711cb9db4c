/** What a benchmark is: it says what it does while it runs, and returns figures with their targets. */

export interface Figure {
  /** In plain words, with the unit. */
  name: string;
  value: string;
  /** What it should be; empty when there is no target. */
  target: string;
  /** Null when there is no target. */
  met: boolean | null;
}

export interface BenchResult {
  title: string;
  figures: readonly Figure[];
  /** The same for machines: snake_case keys with units. */
  json: Record<string, unknown>;
}

/** What `covote bench` was asked for beyond names; only `scaling` has a use for it. */
export interface BenchOptions {
  seeds: readonly number[];
  gpus: readonly number[];
  hours: number;
}

export const benchDefaults: BenchOptions = { seeds: [1], gpus: [8, 64, 1024], hours: 12 };

export type Bench = (say: (line: string) => void, options: BenchOptions) => Promise<BenchResult>;

export function figure(name: string, value: string, target = "", met: boolean | null = null): Figure {
  return { name, value, target, met };
}

/** The figures as an aligned table. */
export function renderResult({ title, figures }: BenchResult): string[] {
  const nameWidth = Math.max(...figures.map((f) => f.name.length));
  const valueWidth = Math.max(...figures.map((f) => f.value.length));
  const mark = (met: boolean | null): string => (met === null ? " " : met ? "✓" : "✗");
  return [
    title,
    ...figures.map((f) =>
      `  ${mark(f.met)} ${f.name.padEnd(nameWidth)}  ${f.value.padStart(valueWidth)}   ${f.target}`.trimEnd(),
    ),
  ];
}
