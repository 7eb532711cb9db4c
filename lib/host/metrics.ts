/**
 * Prometheus metrics of one process.
 *
 * - The registry is owned here, never prom-client's global one.
 * - Every series carries `service`; services that share a process share the registry (`forService`) and
 *   declare the same metric without an error. A second declaration with another type or other labels is a
 *   programming error and throws `internal`.
 * - Label values must be bounded: never an id of a sample, group, judgment or vote.
 * - Counting costs a sum in a map: counters reach the registry when they are scraped. They stand on the way of
 *   every vote, and prom-client checks and hashes the labels of each increment.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { CovoteError } from "../core/errors.js";

export interface MetricSpec<L extends string> {
  name: string;
  /** What it measures, with the unit; the labels are appended. */
  help: string;
  labels?: readonly L[];
}

export interface HistogramSpec<L extends string> extends MetricSpec<L> {
  /** Upper bounds in the metric's unit, ascending. */
  buckets: readonly number[];
}

export type Labels<L extends string> = Readonly<Record<L, string>>;
/** Labels are asked for exactly when the metric has some. */
type LabelArgs<L extends string> = [L] extends [never] ? [] : [labels: Labels<L>];

export interface CounterHandle<L extends string> {
  inc(by: number, ...labels: LabelArgs<L>): void;
}
export interface GaugeHandle<L extends string> {
  set(value: number, ...labels: LabelArgs<L>): void;
  inc(by: number, ...labels: LabelArgs<L>): void;
}
export interface HistogramHandle<L extends string> {
  observe(value: number, ...labels: LabelArgs<L>): void;
}

export interface Metrics {
  readonly service: string;
  readonly contentType: string;
  counter<L extends string = never>(spec: MetricSpec<L>): CounterHandle<L>;
  gauge<L extends string = never>(spec: MetricSpec<L>): GaugeHandle<L>;
  histogram<L extends string = never>(spec: HistogramSpec<L>): HistogramHandle<L>;
  /** Runs before each scrape, to set gauges that are read rather than counted. Returns its removal. */
  onScrape(collect: () => void): () => void;
  /** The same registry for another service of this process. */
  forService(service: string): Metrics;
  /** Names of all declared metrics, for tests of dashboards and rules. */
  names(): string[];
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
  return view({ registry, declared: new Map(), collectors: new Set() }, options.service);
}

interface Shared {
  registry: Registry;
  /** By name: the metric and the shape it was declared with. */
  declared: Map<string, { shape: string; metric: unknown }>;
  collectors: Set<() => void>;
}

function view(shared: Shared, service: string): Metrics {
  const bound = (labels: readonly Record<string, string>[]): Record<string, string> => ({
    ...labels[0],
    service,
  });
  return {
    service,
    contentType: shared.registry.contentType,
    counter: (spec) => {
      const counter = declare(shared, "counter", spec, (config) => new Counter(config));
      return deferredCounter(shared, spec, (by, labels) => counter.inc(bound(labels), by));
    },
    gauge: (spec) => {
      const gauge = declare(shared, "gauge", spec, (config) => new Gauge(config));
      return {
        set: (value, ...labels) => gauge.set(bound(labels), value),
        inc: (by, ...labels) => gauge.inc(bound(labels), by),
      };
    },
    histogram: (spec) => {
      const buckets = [...spec.buckets];
      const histogram = declare(shared, "histogram", spec, (config) => new Histogram({ ...config, buckets }));
      return { observe: (value, ...labels) => histogram.observe(bound(labels), value) };
    },
    onScrape: (collect) => {
      shared.collectors.add(collect);
      return () => shared.collectors.delete(collect);
    },
    forService: (other) => view(shared, other),
    names: () => shared.registry.getMetricsAsArray().map((metric) => metric.name),
    text: async () => {
      for (const collect of shared.collectors) collect();
      return await shared.registry.metrics();
    },
  };
}

/** Sums up by labels, and tells the registry when it is scraped. */
function deferredCounter<L extends string>(
  shared: Shared,
  spec: MetricSpec<L>,
  tell: (by: number, labels: LabelArgs<L>) => void,
): CounterHandle<L> {
  const names = spec.labels ?? [];
  const sums = new Map<string, { by: number; labels: LabelArgs<L> }>();
  shared.collectors.add(() => {
    for (const sum of sums.values()) {
      tell(sum.by, sum.labels);
      sum.by = 0;
    }
  });
  return {
    inc: (by, ...labels) => {
      if (!(by >= 0))
        throw new CovoteError("internal", `metric ${spec.name}: counters never shrink, got ${by}`);
      let key = "";
      for (const name of names) key += `${(labels[0] as Labels<L>)[name]}\u0000`;
      const sum = sums.get(key);
      if (sum === undefined) sums.set(key, { by, labels });
      else sum.by += by;
    },
  };
}

interface PromConfig {
  name: string;
  help: string;
  labelNames: string[];
  registers: Registry[];
}

function declare<L extends string, M>(
  shared: Shared,
  type: string,
  spec: MetricSpec<L>,
  create: (config: PromConfig) => M,
): M {
  const labelNames = [...(spec.labels ?? []), "service"];
  const shape = `${type} {${labelNames.join(", ")}}`;
  const existing = shared.declared.get(spec.name);
  if (existing !== undefined) {
    if (existing.shape === shape) return existing.metric as M;
    throw new CovoteError("internal", `metric ${spec.name}: declared as ${existing.shape} and as ${shape}`);
  }
  const help = `${spec.help} Labels: ${labelNames.join(", ")}.`;
  const metric = create({ name: spec.name, help, labelNames, registers: [shared.registry] });
  shared.declared.set(spec.name, { shape, metric });
  return metric;
}
