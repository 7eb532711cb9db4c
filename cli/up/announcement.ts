/** What `covote up` says when everything listens. Pure. */
import type { Cluster } from "../cluster/cluster.js";
import { shortPath, type TextStyle } from "../run/text.js";

export interface Announcement {
  cluster: Pick<Cluster, "natsUrl" | "rewards" | "policy" | "endpoints">;
  /** Name in the configuration. */
  clusterName: string;
  /** Absolute. */
  dir: string;
  /** Where the user stands; paths below it are shown short. */
  cwd: string;
  pid: number;
}

export function renderAnnouncement(
  { cluster, clusterName, dir, cwd }: Announcement,
  style: TextStyle,
): string[] {
  const width = Math.max(7, ...cluster.endpoints.map(({ name }) => name.length + 8));
  const row = (name: string, where: string, what: string): string =>
    `  ${name.padEnd(width)}  ${style.bold(where)}${what === "" ? "" : `  ${style.dim(what)}`}`;
  const metrics = cluster.endpoints.map(({ name, metrics: address }) =>
    row(
      cluster.endpoints.length === 1 ? "metrics" : `metrics ${name}`,
      `http://${address}/metrics`,
      "also /healthz, /readyz",
    ),
  );
  const addressFlag = cluster.rewards.endsWith(":50051") ? "" : ` --address ${cluster.rewards}`;
  return [
    "",
    `  ${style.bold(`covote is up`)}  ${style.dim(`cluster ${clusterName}`)}`,
    "",
    row("rewards", cluster.rewards, "gRPC covote.v1.RewardService"),
    ...cluster.endpoints.flatMap(({ http }) =>
      http === null ? [] : [row("rewards", `http://${http}/v1/rewards`, "JSON; /openapi.json describes it")],
    ),
    ...(cluster.policy === null ? [] : [row("policy", cluster.policy, "gRPC covote.v1.PolicyService")]),
    row("NATS", withoutCredentials(cluster.natsUrl), ""),
    ...metrics,
    row("data", shortPath(dir, cwd), "logs/, nats/"),
    "",
    `  ${style.dim("Ask it:")}  covote score${addressFlag} --query "…" --response "…" --response "…"`,
    `  ${style.dim("Ctrl-C stops it and finishes what was accepted.")}`,
    "",
  ];
}

export function announcementForMachines({ cluster, clusterName, dir, pid }: Announcement): object {
  return {
    cluster: clusterName,
    nats: withoutCredentials(cluster.natsUrl),
    rewards: cluster.rewards,
    policy: cluster.policy,
    services: cluster.endpoints,
    data: dir,
    pid,
  };
}

function withoutCredentials(url: string): string {
  return url.replace(/\/\/[^/@]*@/g, "//");
}
