/**
 * A classic histogram that costs an addition for each value: prom-client's checks and hashes the labels every time.
 * What the registry asks of a metric, and nothing more: to be read.
 */
export interface HistogramConfig {
  name: string;
  help: string;
  /** Upper bounds, ascending. */
  buckets: readonly number[];
}

/** The values of one set of labels. */
export interface HistogramValue {
  /** A value that is not finite is not counted. */
  observe(value: number): void;
}

interface Sample {
  metricName: string;
  labels: Record<string, string | number>;
  value: number;
}

export interface HistogramSeries {
  /** The values of these labels; the same ones for the same labels. */
  open(labels: Record<string, string>): HistogramValue;
  /** The values of these labels end; nothing is told of them any more. */
  close(labels: Record<string, string>): void;
  /** For prom-client's registry. */
  readonly metric: { name: string; help: string; type: "histogram"; get(): Promise<HistogramReading> };
}

interface HistogramReading {
  name: string;
  help: string;
  type: "histogram";
  values: Sample[];
}

export function createHistogramSeries({ name, help, buckets }: HistogramConfig): HistogramSeries {
  const series = new Map<string, { value: HistogramValue; read: () => Sample[] }>();
  const type = "histogram";
  const openNew = (labels: Record<string, string>): { value: HistogramValue; read: () => Sample[] } => {
    /** By bucket, the last one for all that is larger. */
    const counts = new Array<number>(buckets.length + 1).fill(0);
    let sum = 0;
    const read = (): Sample[] => {
      let below = 0;
      const bounds = [...buckets, "+Inf"];
      const samples = bounds.map((le, i): Sample => {
        below += counts[i] as number;
        return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: below };
      });
      samples.push({ metricName: `${name}_sum`, labels, value: sum });
      samples.push({ metricName: `${name}_count`, labels, value: below });
      return samples;
    };
    const observe = (value: number): void => {
      if (!Number.isFinite(value)) return;
      let bucket = 0;
      while (bucket < buckets.length && value > (buckets[bucket] as number)) bucket++;
      counts[bucket] = (counts[bucket] as number) + 1;
      sum += value;
    };
    return { value: { observe }, read };
  };
  const values = (): Sample[] => [...series.values()].flatMap(({ read }) => read());
  const keyOf = (labels: Record<string, string>): string => JSON.stringify(Object.entries(labels).sort());
  return {
    open: (labels) => {
      const key = keyOf(labels);
      const opened = series.get(key) ?? openNew(labels);
      series.set(key, opened);
      return opened.value;
    },
    close: (labels) => void series.delete(keyOf(labels)),
    metric: { name, help, type, get: async () => ({ name, help, type, values: values() }) },
  };
}
