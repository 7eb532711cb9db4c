/**
 * A small Kubernetes API server over real HTTP: scales of Deployments and StatefulSets, pods, leases, with
 * resourceVersions and conflicts, and with faults to order.
 *
 * Pods follow `spec.replicas` when `settle` is called: those that are missing are created (not ready), surplus ones are
 * told to end; `start` makes pods ready, `finish` removes those that end. As on a real one, pods with a lower deletion
 * cost end first.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface FakePod {
  name: string;
  app: string;
  ready: boolean;
  terminating: boolean;
  createdAtMs: number;
  annotations: Record<string, string>;
}

export interface FakeCall {
  method: string;
  path: string;
  status: number;
}

interface FakeWorkload {
  kind: "deployments" | "statefulsets";
  replicas: number;
  version: number;
}

interface FakeLease {
  spec: Record<string, unknown>;
  version: number;
}

export interface FakeFault {
  /** Calls that it meets; default all. */
  when?: (method: string, path: string) => boolean;
  /** Answers with this status; or closes the connection without an answer, before or after it did what was asked. */
  status?: number;
  cut?: "before" | "after";
  /** Answers so much later, in milliseconds. */
  delayMs?: number;
  retryAfterS?: number;
}

export interface FakeKubernetes extends AsyncDisposable {
  readonly url: string;
  /** A kubeconfig that leads here. */
  readonly kubeconfig: string;
  readonly calls: readonly FakeCall[];
  /** GPUs (replicas here) that were held at most, over all workloads together. */
  readonly mostPods: number;
  /** Every change of a scale that was accepted, in order: `grm-worker 2→3`. */
  readonly changes: readonly string[];
  workload(name: string, replicas: number, kind?: FakeWorkload["kind"]): void;
  replicas(name: string): number;
  /** As somebody else would. */
  setReplicas(name: string, replicas: number): void;
  /** Moves the version, as a change of status does. */
  touch(name: string): void;
  pods(name: string): FakePod[];
  settle(): void;
  start(): void;
  finish(): void;
  lease(name: string): Record<string, unknown> | undefined;
  /** The next calls fare like this until `heal`. */
  fault(fault: FakeFault): void;
  heal(): void;
}

export async function startFakeKubernetes(namespace = "rl"): Promise<FakeKubernetes> {
  const workloads = new Map<string, FakeWorkload>();
  const leases = new Map<string, FakeLease>();
  const calls: FakeCall[] = [];
  const changes: string[] = [];
  const sockets = new Set<Socket>();
  let pods: FakePod[] = [];
  let fault: FakeFault | null = null;
  let version = 100;
  let born = 0;
  let mostPods = 0;

  const known = (name: string): FakeWorkload => {
    const workload = workloads.get(name);
    if (workload === undefined) throw new Error(`no workload ${name}`);
    return workload;
  };
  const scaleOf = (name: string, { replicas, version: at }: FakeWorkload) => ({
    apiVersion: "autoscaling/v1",
    kind: "Scale",
    metadata: { name, namespace, resourceVersion: String(at) },
    spec: replicas === 0 ? {} : { replicas },
    status: { replicas: pods.filter(({ app }) => app === name).length, selector: `app=${name}` },
  });
  const leaseOf = (name: string, { spec, version: at }: FakeLease) => ({
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { name, namespace, resourceVersion: String(at) },
    spec,
  });
  const podOf = (pod: FakePod) => ({
    metadata: {
      name: pod.name,
      namespace,
      creationTimestamp: new Date(pod.createdAtMs).toISOString(),
      annotations: pod.annotations,
      ...(pod.terminating ? { deletionTimestamp: new Date(pod.createdAtMs).toISOString() } : {}),
    },
    status: { phase: "Running", conditions: [{ type: "Ready", status: pod.ready ? "True" : "False" }] },
  });

  const answer = (method: string, path: string, query: URLSearchParams, body: string): [number, unknown] => {
    const [, kind, name, sub] =
      new RegExp(`^/apis?/[^/]+(?:/v1)?/namespaces/${namespace}/([a-z]+)(?:/([^/]+))?(?:/([a-z]+))?$`).exec(
        path,
      ) ?? [];
    const missing = status(404, `${kind ?? path} "${name ?? ""}" not found`);
    if ((kind === "deployments" || kind === "statefulsets") && name !== undefined && sub === "scale") {
      const workload = workloads.get(name);
      if (workload === undefined || workload.kind !== kind) return missing;
      if (method === "GET") return [200, scaleOf(name, workload)];
      const wanted = JSON.parse(body) as {
        metadata?: { resourceVersion?: string };
        spec?: { replicas?: number };
      };
      if (wanted.metadata?.resourceVersion !== String(workload.version))
        return status(409, "the object has been modified");
      const replicas = wanted.spec?.replicas ?? 0;
      if (replicas !== workload.replicas) changes.push(`${name} ${workload.replicas}→${replicas}`);
      workload.replicas = replicas;
      workload.version = ++version;
      return [200, scaleOf(name, workload)];
    }
    if (kind === "pods" && name === undefined) {
      const app = /^app=(.*)$/.exec(query.get("labelSelector") ?? "")?.[1];
      const items = pods.filter((pod) => pod.app === app).map(podOf);
      return [200, { apiVersion: "v1", kind: "PodList", metadata: {}, items }];
    }
    if (kind === "pods" && method === "PATCH") {
      const pod = pods.find((one) => one.name === name);
      if (pod === undefined) return missing;
      const patch = JSON.parse(body) as { metadata: { annotations: Record<string, string | null> } };
      for (const [key, value] of Object.entries(patch.metadata.annotations)) {
        if (value === null) delete pod.annotations[key];
        else pod.annotations[key] = value;
      }
      return [200, podOf(pod)];
    }
    if (kind === "leases") {
      const sent =
        body === ""
          ? null
          : (JSON.parse(body) as {
              metadata: { name: string; resourceVersion?: string };
              spec: Record<string, unknown>;
            });
      const key = name ?? sent?.metadata.name ?? "";
      const lease = leases.get(key);
      if (method === "POST") {
        if (lease !== undefined) return status(409, `leases "${key}" already exists`);
      } else if (lease === undefined) return missing;
      else if (method === "GET") return [200, leaseOf(key, lease)];
      else if (sent?.metadata.resourceVersion !== String(lease.version))
        return status(409, "the object has been modified");
      const next = { spec: sent?.spec ?? {}, version: ++version };
      leases.set(key, next);
      return [200, leaseOf(key, next)];
    }
    return missing;
  };

  const server = createServer(async (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? "/", "http://fake");
    const method = request.method ?? "GET";
    let body = "";
    for await (const part of request) body += String(part);
    const active = fault !== null && (fault.when?.(method, url.pathname) ?? true) ? fault : null;
    if (active?.delayMs !== undefined)
      await new Promise((resolve) => setTimeout(resolve, active.delayMs).unref());
    if (active?.cut !== undefined) {
      if (active.cut === "after") answer(method, url.pathname, url.searchParams, body);
      calls.push({ method, path: url.pathname, status: 0 });
      request.socket.destroy();
      return;
    }
    const [code, answered] =
      active?.status === undefined
        ? answer(method, url.pathname, url.searchParams, body)
        : status(active.status, `ordered ${active.status}`);
    calls.push({ method, path: url.pathname, status: code });
    response.writeHead(code, {
      "Content-Type": "application/json",
      ...(active?.retryAfterS === undefined ? {} : { "Retry-After": String(active.retryAfterS) }),
    });
    response.end(JSON.stringify(answered));
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const dir = await mkdtemp(join(tmpdir(), "covote-kube-"));
  const kubeconfig = join(dir, "config");
  await writeFile(
    kubeconfig,
    JSON.stringify({
      "current-context": "fake",
      clusters: [{ name: "fake", cluster: { server: url, "insecure-skip-tls-verify": true } }],
      users: [{ name: "fake", user: { token: "token" } }],
      contexts: [{ name: "fake", context: { cluster: "fake", user: "fake", namespace } }],
    }),
  );

  const settle = (): void => {
    for (const [app, { replicas }] of workloads) {
      const alive = pods.filter((pod) => pod.app === app && !pod.terminating);
      for (let n = alive.length; n < replicas; n++) {
        born++;
        pods.push({
          name: `${app}-${born}`,
          app,
          ready: false,
          terminating: false,
          createdAtMs: born * 1000,
          annotations: {},
        });
      }
      const cost = ({ annotations }: FakePod): number =>
        Number(annotations["controller.kubernetes.io/pod-deletion-cost"] ?? 0);
      const first = alive.sort((a, b) => Number(a.ready) - Number(b.ready) || cost(a) - cost(b));
      for (const pod of first.slice(0, Math.max(0, alive.length - replicas))) pod.terminating = true;
    }
    mostPods = Math.max(mostPods, pods.length);
  };

  return {
    url,
    kubeconfig,
    calls,
    changes,
    get mostPods() {
      return mostPods;
    },
    workload: (name, replicas, kind = "deployments") => {
      workloads.set(name, { kind, replicas, version: ++version });
      settle();
      for (const pod of pods) pod.ready = true;
    },
    replicas: (name) => known(name).replicas,
    setReplicas: (name, replicas) => Object.assign(known(name), { replicas, version: ++version }),
    touch: (name) => Object.assign(known(name), { version: ++version }),
    pods: (name) => pods.filter(({ app }) => app === name),
    settle,
    start: () => {
      for (const pod of pods) if (!pod.terminating) pod.ready = true;
    },
    finish: () => {
      pods = pods.filter(({ terminating }) => !terminating);
    },
    lease: (name) => leases.get(name)?.spec,
    fault: (next) => {
      fault = next;
    },
    heal: () => {
      fault = null;
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      await rm(dir, { recursive: true, force: true });
    },
  };
}

function status(code: number, message: string): [number, unknown] {
  return [code, { apiVersion: "v1", kind: "Status", status: "Failure", message, code }];
}
