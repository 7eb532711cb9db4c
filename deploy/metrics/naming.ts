/** The naming rules of Prometheus (prometheus.io/docs/practices/naming), and bounds on what a metric may cost. */
import type { MetricInfo } from "../../lib/host/metrics.js";

/** Base units, and the things that covote counts. A histogram's name ends with what its buckets are in. */
const units = ["seconds", "bytes", "ratio", "points", "votes", "tokens"];
const notBase =
  /_(ms|milliseconds|us|ns|nanoseconds|minutes|hours|percent|kb|mb|gb|kilobytes|megabytes)(_|$)/;
const reservedSuffix = /_(count|sum|bucket|created)$/;
/** Prometheus and Kubernetes put these on every series. */
const reservedLabels = ["le", "quantile", "job", "instance", "service", "cluster", "namespace", "pod"];
const snakeCase = /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/;
const maxListed = 40;
const maxBuckets = 20;

/** One line per violation. */
export function namingProblems({ name, type, help, labels, buckets }: MetricInfo): string[] {
  const problems: string[] = [];
  const must = (holds: boolean, rule: string): void => {
    if (!holds) problems.push(`${name}: ${rule}`);
  };
  must(snakeCase.test(name) && name.startsWith("covote_"), "must be snake_case and begin with covote_");
  must((type === "counter") === name.endsWith("_total"), "a counter ends with _total, and nothing else does");
  must(!reservedSuffix.test(name), "ends with a suffix that belongs to histograms");
  must(!notBase.test(name), "must be in a base unit: seconds, bytes, a ratio of 0 to 1");
  const bare = name.replace(/_total$/, "");
  for (const unit of ["seconds", "bytes"]) {
    must(!bare.includes(`_${unit}_`), `the unit ${unit} must stand at the end`);
  }
  if (type === "histogram") {
    must(
      units.some((unit) => name.endsWith(`_${unit}`)),
      `a histogram ends with its unit: ${units.join(", ")}`,
    );
    must(buckets.length > 0 && buckets.length <= maxBuckets, `must have 1 to ${maxBuckets} buckets`);
    must(
      buckets.every((bound, i) => i === 0 || bound > (buckets[i - 1] as number)),
      "buckets must ascend",
    );
  }
  must(help.length > 10 && !/[.\n]$/.test(help), "help must be a sentence without a full stop");
  for (const [label, values] of Object.entries(labels)) {
    must(
      snakeCase.test(label) && !reservedLabels.includes(label),
      `label ${label} is reserved or not snake_case`,
    );
    if (typeof values === "string") {
      must(values.length > 0, `label ${label} must say what bounds its values`);
    } else {
      must(
        values.length > 0 && values.length <= maxListed,
        `label ${label} must list 1 to ${maxListed} values`,
      );
      must(new Set(values).size === values.length, `label ${label} lists a value twice`);
    }
  }
  return problems;
}
