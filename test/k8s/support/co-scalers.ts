/**
 * The co-scalers of an installed chart, with the token of the chart's service account, each with a proxy of its own before
 * the API server. Times are shortened, so that a test is not an afternoon.
 */
import { readFileSync } from "node:fs";
import { type ApiProxy, openApiProxy } from "./api-proxy.js";
import type { ControlPlane } from "./control-plane.js";
import { type Installed, type InstalledConfig, openInstalled, runSteward } from "./installed.js";
import type { PodProcesses } from "./pod-processes.js";
import { paths } from "./workloads.js";

export interface CoScalers extends AsyncDisposable {
  readonly pods: PodProcesses;
  readonly dir: string;
  /** By the name of the pod. */
  readonly proxies: ReadonlyMap<string, ApiProxy>;
  /** A configuration like theirs, changed; for one that is started by hand. */
  writeConfig: Installed["writeConfig"];
}

const shortened = {
  intervalMs: 1000,
  cooldownUpMs: 8000,
  cooldownDownMs: 8000,
  switchMs: 3000,
  staleAfterMs: 15_000,
};
export const leaseMs = 6000;
const lease = { leaseMs, renewMs: 4000, retryMs: 500, timeoutMs: 2000 };

export async function runCoScalers(
  plane: ControlPlane,
  options: { namespace: string; natsUrl: string },
): Promise<CoScalers> {
  const { kube, server } = plane;
  const { namespace } = options;
  const installed = await openInstalled(plane, options);
  const token = await plane.tokenOf(namespace, "covote-co-scaler");
  const cert = readFileSync(plane.caFile, "utf8");
  const key = readFileSync(plane.keyFile, "utf8");
  const shorten = ({ scaling }: InstalledConfig, name: string): void => {
    const to = { token, namespace, server: proxies.get(name)?.url ?? server };
    Object.assign(scaling, shortened);
    Object.assign(scaling.kubernetes, lease, { kubeconfig: plane.writeKubeconfig(name, to) });
  };
  const proxies = new Map<string, ApiProxy>();
  const names = await kube.list(paths.pods(namespace, "app.kubernetes.io/component=co-scaler"));
  for (const { metadata } of names) proxies.set(metadata.name, await openApiProxy({ server, cert, key }));
  const steward = await runSteward(installed);
  const pods = await installed.run("co-scaler", { change: shorten });
  return {
    pods,
    proxies,
    dir: installed.dir,
    writeConfig: (name, change) =>
      installed.writeConfig(name, (config) => {
        shorten(config, name);
        change?.(config);
      }),
    [Symbol.asyncDispose]: async () => {
      await pods[Symbol.asyncDispose]();
      await steward[Symbol.asyncDispose]();
      for (const proxy of proxies.values()) await proxy[Symbol.asyncDispose]();
    },
  };
}
