/**
 * Prometheus metrics of one process.
 *
 * - The registry is owned here, never prom-client's global one.
 * - Every series carries `service`; services that share a process share the registry (`forService`) and
 *   declare the same metric without an error. A second declaration with another type or other labels is a
 *   programming error and throws `internal`.
 * - Label values are bounded, and the declaration says by what: never an id of a sample, group, judgment or vote.
 * - Counters and histograms whose label values are listed exist from their declaration, at zero: what never
 *   happened is told apart from what is not watched, and the first time counts as an increase.
 * - Counting costs an addition: counters and histograms stand on the way of every vote, and prom-client checks and
 *   hashes the labels of each call. They reach the registry when they are scraped; `at` finds their sum once.
 */
import { Counter, collectDefaultMetrics, Gauge, type Metric, Registry } from "prom-client";
import { CovoteError } from "../core/errors.js";
import { createHistogramSeries, type HistogramValue } from "./histogram-series.js";

/** By label: all its values, or what keeps them few. */
export type LabelSpec = Readonly<Record<string, readonly string[] | string>>;
export type NoLabels = Readonly<Record<never, never>>;

export interface MetricSpec<S extends LabelSpec> {
  name: string;
  /** What it measures, with the unit; the labels are appended. */
  help: string;
  labels?: S;
}

export interface HistogramSpec<S extends LabelSpec> extends MetricSpec<S> {
  /** Upper bounds in the metric's unit, ascending. */
  buckets: readonly number[];
}

export type Labels<S extends LabelSpec> = {
  readonly [K in keyof S]: S[K] extends readonly (infer V)[] ? V : string;
};
/** Labels are asked for exactly when the metric has some. */
type LabelArgs<S extends LabelSpec> = [keyof S] extends [never] ? [] : [labels: Labels<S>];

export interface CounterHandle<S extends LabelSpec> {
  inc(by: number, ...labels: LabelArgs<S>): void;
  /** The counter of these labels. */
  at(...labels: LabelArgs<S>): CounterHandle<NoLabels>;
}
export interface GaugeHandle<S extends LabelSpec> {
  set(value: number, ...labels: LabelArgs<S>): void;
  inc(by: number, ...labels: LabelArgs<S>): void;
  /** Nothing is known any more: the series ends. */
  remove(...labels: LabelArgs<S>): void;
}
export interface HistogramHandle<S extends LabelSpec> {
  /** A value that is not finite is not counted. */
  observe(value: number, ...labels: LabelArgs<S>): void;
  /** The histogram of these labels. */
  at(...labels: LabelArgs<S>): HistogramHandle<NoLabels>;
}

/** A metric as it was declared. */
export interface MetricInfo {
  name: string;
  type: "counter" | "gauge" | "histogram" | "summary";
  help: string;
  /** Without `service`, which all have. */
  labels: LabelSpec;
  /** Of histograms. */
  buckets: readonly number[];
}

export interface Metrics {
  readonly service: string;
  readonly contentType: string;
  counter<const S extends LabelSpec = NoLabels>(spec: MetricSpec<S>): CounterHandle<S>;
  gauge<const S extends LabelSpec = NoLabels>(spec: MetricSpec<S>): GaugeHandle<S>;
  histogram<const S extends LabelSpec = NoLabels>(spec: HistogramSpec<S>): HistogramHandle<S>;
  /** Runs before each scrape, to set gauges that are read rather than counted. Returns its removal. */
  onScrape(collect: () => void | Promise<void>): () => void;
  /** The same registry for another service of this process. */
  forService(service: string): Metrics;
  /**
   * The service has ended while its process goes on: its series end, and what it reads at scrapes is read no more.
   * Two views of one service share their series.
   */
  end(): void;
  /** All declared metrics, those of the process included. */
  catalogue(): MetricInfo[];
  /** The exposition text. */
  text(): Promise<string>;
}

/** Seconds, from a bus hop to a long judgment. */
export const latencySecondsBuckets = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600,
] as const;

export interface MetricsOptions {
  service: string;
  /** Adds CPU, memory, garbage collection and event-loop delay of the process. */
  process?: boolean;
}

export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry();
  if (options.process === true) {
    collectDefaultMetrics({ register: registry, labels: { service: options.service } });
  }
  return view({ registry, declared: new Map(), readers: new Set(), sums: new Set() }, options.service);
}

interface Declared {
  /** Type and labels; two declarations of one name must have the same. */
  shape: string;
  info: MetricInfo;
  metric: unknown;
}

interface Shared {
  registry: Registry;
  declared: Map<string, Declared>;
  /** Run before each scrape, and may count. */
  readers: Set<() => void | Promise<void>>;
  /** Hand on to the registry what was counted. */
  sums: Set<() => void>;
}

function view(shared: Shared, service: string): Metrics {
  const { registry } = shared;
  const bound = (labels: object | undefined): Record<string, string> => ({ ...labels, service });
  const ends: (() => void)[] = [];
  return {
    service,
    contentType: registry.contentType,
    counter: (spec) => {
      const counter = declare(shared, "counter", spec, (config) => new Counter(config));
      const sums = sumsByLabels(spec, () => ({ by: 0 }));
      const handOn = (): void => {
        for (const [sum, labels] of sums.all()) {
          counter.inc(bound(labels), sum.by);
          sum.by = 0;
        }
      };
      shared.sums.add(handOn);
      ends.push(() => {
        shared.sums.delete(handOn);
        for (const [, labels] of sums.all()) counter.remove(bound(labels));
      });
      const add = (sum: { by: number }, by: number): void => {
        if (by >= 0) sum.by += by;
        else throw new CovoteError("internal", `metric ${spec.name}: counters never shrink, got ${by}`);
      };
      return {
        inc: (by, ...labels) => add(sums.at(labels[0]), by),
        at: (...labels) => {
          const sum = sums.at(labels[0]);
          const handle: CounterHandle<NoLabels> = { inc: (by) => add(sum, by), at: () => handle };
          return handle;
        },
      };
    },
    gauge: (spec) => {
      const gauge = declare(shared, "gauge", spec, (config) => new Gauge(config));
      const told = sumsByLabels({ ...spec, labels: openLabels(spec.labels) }, (labels) => bound(labels));
      ends.push(() => {
        for (const [labels] of told.all()) gauge.remove(labels);
      });
      return {
        set: (value, ...labels) => gauge.set(told.at(labels[0]), value),
        inc: (by, ...labels) => gauge.inc(told.at(labels[0]), by),
        remove: (...labels) => gauge.remove(told.at(labels[0])),
      };
    },
    histogram: (spec) => {
      const { buckets } = spec;
      const series = declare(shared, "histogram", { ...spec, buckets }, (config) => {
        const created = createHistogramSeries({ ...config, buckets });
        // The registry's types know prom-client's own metrics only; it asks no more of one than to be read.
        registry.registerMetric(created.metric as unknown as Metric);
        return created;
      });
      const values = sumsByLabels(spec, (labels) => series.open(bound(labels)));
      ends.push(() => {
        for (const [, labels] of values.all()) series.close(bound(labels));
      });
      return {
        observe: (value, ...labels) => values.at(labels[0]).observe(value),
        at: (...labels) => {
          const value: HistogramValue = values.at(labels[0]);
          const handle: HistogramHandle<NoLabels> = { observe: value.observe, at: () => handle };
          return handle;
        },
      };
    },
    onScrape: (collect) => {
      shared.readers.add(collect);
      const stop = (): void => void shared.readers.delete(collect);
      ends.push(stop);
      return stop;
    },
    forService: (other) => view(shared, other),
    end: () => {
      for (const end of ends.splice(0)) end();
    },
    catalogue: () => registry.getMetricsAsArray().map((metric) => infoOf(shared, metric)),
    text: async () => {
      await Promise.all([...shared.readers].map((read) => read()));
      for (const handOn of shared.sums) handOn();
      return await registry.metrics();
    },
  };
}

/** One sum for each set of label values, found by them; those whose values are listed exist from the start. */
function sumsByLabels<T>(
  { labels = {} }: MetricSpec<LabelSpec>,
  open: (labels: Record<string, string>) => T,
) {
  const names = Object.keys(labels);
  const sums = new Map<string, [sum: T, labels: Record<string, string>]>();
  const at = (values: object | undefined): T => {
    const given = (values ?? {}) as Record<string, string>;
    let key = "";
    for (const name of names) key += `${given[name]}\u0000`;
    const known = sums.get(key);
    if (known !== undefined) return known[0];
    const own = Object.fromEntries(names.map((name) => [name, given[name] as string]));
    const sum = open(own);
    sums.set(key, [sum, own]);
    return sum;
  };
  for (const values of listedValues(labels)) at(values);
  return { at, all: () => sums.values() };
}

/** A gauge that was never set is not there: zero would be a claim. */
function openLabels(labels: LabelSpec = {}): LabelSpec {
  return Object.fromEntries(Object.keys(labels).map((name) => [name, "set"]));
}

/** Every combination of label values; none when the values of a label are not listed. */
function listedValues(labels: LabelSpec): Record<string, string>[] {
  let combinations: Record<string, string>[] = [{}];
  for (const [name, values] of Object.entries(labels)) {
    if (typeof values === "string") return [];
    combinations = combinations.flatMap((one) => values.map((value) => ({ ...one, [name]: value })));
  }
  return combinations;
}

interface PromConfig {
  name: string;
  help: string;
  labelNames: string[];
  registers: Registry[];
}

function declare<M>(
  shared: Shared,
  type: MetricInfo["type"],
  spec: MetricSpec<LabelSpec> & { buckets?: readonly number[] },
  create: (config: PromConfig) => M,
): M {
  const { name, labels = {}, buckets = [] } = spec;
  const labelNames = [...Object.keys(labels), "service"];
  const shape = `${type} {${labelNames.join(", ")}}`;
  const existing = shared.declared.get(name);
  if (existing !== undefined) {
    if (existing.shape === shape) return existing.metric as M;
    throw new CovoteError("internal", `metric ${name}: declared as ${existing.shape} and as ${shape}`);
  }
  const help = `${spec.help} Labels: ${labelNames.join(", ")}.`;
  const metric = create({ name, help, labelNames, registers: [shared.registry] });
  shared.declared.set(name, { shape, info: { name, type, help: spec.help, labels, buckets }, metric });
  return metric;
}

/** Those that prom-client declares by itself have labels that it knows alone; they are few. */
function infoOf({ declared }: Shared, metric: object): MetricInfo {
  const { name, help, type } = metric as Pick<MetricInfo, "name" | "help" | "type">;
  return declared.get(name)?.info ?? { name, type, help, labels: {}, buckets: [] };
}
