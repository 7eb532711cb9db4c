/** Prints docs/metrics.md. */
import { declaredMetrics, nodeMetrics } from "./declared.js";
import { metricsDocument } from "./document.js";

process.stdout.write(metricsDocument(declaredMetrics(), nodeMetrics()));
// Gauges of the process are watched by timers.
process.exitCode = 0;
