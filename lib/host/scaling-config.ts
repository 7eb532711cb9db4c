/** The section `scaling` of the configuration: one GPU budget, the pools that share it, and how they are changed. */
import { z } from "zod";

const ms = (least: number, most: number, fallback: number, text: string) =>
  z.int().min(least).max(most).default(fallback).describe(`${text}, in milliseconds.`);

function pool(what: string, name: string) {
  return z.strictObject({
    min: z.int().min(0).max(100_000).default(1).describe(`Least replicas of the ${what}; 0 only with max 0.`),
    max: z
      .int()
      .min(0)
      .max(100_000)
      .default(8)
      .describe(`Most replicas of the ${what}; 0 when there is no such pool.`),
    gpusPerReplica: z
      .int()
      .min(1)
      .max(1024)
      .default(1)
      .describe(`GPUs that one replica of the ${what} takes.`),
    kind: z
      .enum(["Deployment", "StatefulSet"])
      .default("Deployment")
      .describe(`Kind of the ${what}'s workload on Kubernetes.`),
    name: z.string().min(1).max(253).default(name).describe(`Name of the ${what}'s workload on Kubernetes.`),
  });
}

const kubernetes = z.strictObject({
  namespace: z
    .string()
    .min(1)
    .max(63)
    .nullable()
    .default(null)
    .describe("Namespace of the workloads and of the lease; null is that of the pod or of the kubeconfig."),
  kubeconfig: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      "Kubeconfig file; null takes the pod's service account, and outside of pods KUBECONFIG or ~/.kube/config.",
    ),
  lease: z
    .string()
    .min(1)
    .max(253)
    .default("covote-co-scaler")
    .describe("Name of the lease that the co-scalers elect their leader by."),
  leaseMs: ms(2000, 600_000, 15_000, "A leader that has not renewed the lease for so long is replaced"),
  renewMs: ms(
    1000,
    600_000,
    10_000,
    "A leader that could not renew the lease for so long stops acting; less than leaseMs",
  ),
  retryMs: ms(100, 60_000, 2000, "Time between two tries to renew or to get the lease"),
  timeoutMs: ms(100, 60_000, 5000, "Longest wait for one answer of the API server"),
});

const votes = z.strictObject({
  enabled: z
    .boolean()
    .default(false)
    .describe(
      "Let the co-scaler decide how many votes judgments get that take judging.votes; true on vote-aggregators and co-scalers alike.",
    ),
  min: z.int().min(1).max(128).default(2).describe("Fewest votes on every response that it may decide for."),
  max: z.int().min(1).max(128).default(8).describe("Most votes on every response that it may decide for."),
});

export const scalingSection = z.strictObject({
  enabled: z.boolean().default(false).describe("Run a co-scaler along in covote up and covote train."),
  actuator: z
    .enum(["observe", "local", "kubernetes", "keda"])
    .default("local")
    .describe(
      "What carries out the decisions: nobody (observe), the pools of covote up (local), the API server (kubernetes), or KEDA, which asks for them (keda).",
    ),
  dryRun: z.boolean().default(false).describe("Decide and tell, and change nothing."),
  budgetGpus: z
    .int()
    .min(1)
    .max(1_000_000)
    .nullable()
    .default(null)
    .describe("GPUs that the pools may have together; null is what they have at the start."),
  intervalMs: ms(100, 600_000, 15_000, "Time between two decisions"),
  reportIntervalMs: ms(100, 60_000, 2000, "Time between two load reports of a service"),
  history: z.int().min(1).max(200).default(50).describe("Decisions that are kept for covote top."),
  responsesPerStep: z
    .int()
    .min(1)
    .max(10_000_000)
    .nullable()
    .default(null)
    .describe(
      "Responses that one step of a trainer learns from that covote does not run; null asks the learner.",
    ),
  pools: z
    .strictObject({
      policy: pool("policy", "covote-policy-sampler").prefault({}),
      grm: pool("generative reward model", "covote-grm-worker").prefault({}),
      metaRm: pool("meta reward model", "covote-meta-rm").prefault({}),
    })
    .prefault({}),
  votes: votes.prefault({}),
  hysteresis: z
    .number()
    .min(0)
    .max(1)
    .default(0.03)
    .describe("Least gain in steps per hour that is worth a change, as a share."),
  maxChange: z
    .number()
    .min(0)
    .max(1)
    .default(0.25)
    .describe("Largest share of the budget that one decision moves; one replica always may."),
  cooldownUpMs: ms(0, 86_400_000, 60_000, "Time after a pool's last change until it may grow again"),
  cooldownDownMs: ms(0, 86_400_000, 60_000, "Time after a pool's last change until it may shrink again"),
  switchMs: ms(0, 86_400_000, 180_000, "What a new replica takes to get ready, until some were measured"),
  horizonMs: ms(1, 86_400_000, 1_800_000, "Time over which a change has to pay for itself"),
  staleAfterMs: ms(1000, 86_400_000, 180_000, "Measurements that are older are not acted upon"),
  kubernetes: kubernetes.prefault({}),
});

export type ScalingConfig = z.output<typeof scalingSection>;

/** Values that are possible alone and impossible together, each with the path of its field. */
export function scalingContradictions(
  scaling: Pick<ScalingConfig, "actuator" | "budgetGpus" | "pools" | "votes" | "kubernetes">,
): [path: string, problem: string][] {
  const found: [string, string][] = [];
  const { pools, budgetGpus, votes: bounds, kubernetes: lease } = scaling;
  let least = 0;
  for (const [name, { min, max, gpusPerReplica }] of Object.entries(pools)) {
    const path = `scaling.pools.${name}`;
    if (max < min) found.push([`${path}.max`, `must be at least min (${min}), got ${max}`]);
    if (min === 0 && (max > 0 || name !== "metaRm")) {
      found.push([`${path}.min`, "must be at least 1: a pool is never scaled to zero; max 0 for no meta RM"]);
    }
    least += min * gpusPerReplica;
  }
  if (budgetGpus !== null && budgetGpus < least) {
    found.push([
      "scaling.budgetGpus",
      `must hold the pools' minimums, which take ${least} GPUs, got ${budgetGpus}; raise it or lower scaling.pools.*.min`,
    ]);
  }
  if (bounds.max < bounds.min) {
    found.push([
      "scaling.votes.max",
      `must be at least scaling.votes.min (${bounds.min}), got ${bounds.max}`,
    ]);
  }
  if (lease.renewMs + lease.timeoutMs > lease.leaseMs) {
    found.push([
      "scaling.kubernetes.renewMs",
      `must leave timeoutMs (${lease.timeoutMs}) before leaseMs (${lease.leaseMs}) for what is under way, got ${lease.renewMs}`,
    ]);
  }
  return found;
}
