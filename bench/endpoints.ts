/** Inference servers of a benchmark, in a thread of their own: HTTP in front of simulated engines. */
import type { SimulatedLatency } from "../lib/engine/simulated-fate.js";
import { openThread } from "./thread.js";

/** `frozen` accepts and never answers; `errors` answers 500 at once. */
export type EndpointFault = "none" | "frozen" | "errors";

export interface EndpointsSetup {
  count: number;
  /** Requests that each runs side by side; more queue in it. */
  slots: number;
  latency: Partial<SimulatedLatency>;
}

export type EndpointsCommand =
  | { t: "urls" }
  | { t: "fault"; index: number; fault: EndpointFault }
  | { t: "requests" };

export interface BenchEndpoints {
  urls(): Promise<string[]>;
  fault(index: number, fault: EndpointFault): Promise<void>;
  /** Generations that all servers together were asked for, probes included, since the start. */
  requests(): Promise<number>;
  close(): Promise<void>;
}

export function openBenchEndpoints(setup: EndpointsSetup): BenchEndpoints {
  const file = new URL("./endpoints-thread.js", import.meta.url);
  const thread = openThread<EndpointsCommand, unknown>(file, "the servers' thread", setup);
  return {
    urls: async () => (await thread.call({ t: "urls" })) as string[],
    fault: async (index, fault) => void (await thread.call({ t: "fault", index, fault })),
    requests: async () => (await thread.call({ t: "requests" })) as number,
    close: thread.terminate,
  };
}
