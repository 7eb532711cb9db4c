/** What the templates decide: engines, draining, GPUs, rights, refusals. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { findNatsServer } from "../../lib/bus/nats-server.js";
import { natsPermissions, natsUsers } from "../../lib/bus/permissions.js";
import { packagePath, packageVersion } from "../../lib/core/package-root.js";
import { folder, installations, keys, removeFolder } from "./support/features.js";
import {
  chart,
  configOf,
  type KubernetesObject,
  objectOf,
  podsOf,
  render,
  template,
} from "./support/helm.js";

removeFolder();

const podOf = (objects: readonly KubernetesObject[], service: string) => {
  const found = podsOf(objects).find(
    ({ object }) => object.metadata.labels["app.kubernetes.io/component"] === service,
  );
  if (found === undefined) throw new Error(`no pod of ${service}`);
  return found.pod;
};
const engine = { "engine.model": "m", "grmWorker.engine.mode": "sidecar" };

describe("an engine in the pod", () => {
  test("is a native side-car: up before covote's container, down after it", () => {
    const pod = podOf(render({ set: engine }), "grm-worker");
    const [sidecar] = pod.initContainers;
    expect(sidecar).toMatchObject({ name: "engine", restartPolicy: "Always", command: ["vllm", "serve"] });
    expect(sidecar.args).toEqual([
      ...["m", "--served-model-name", "m", "--host", "0.0.0.0", "--port", "8000"],
    ]);
    expect(sidecar.resources.limits).toMatchObject({ "nvidia.com/gpu": 1 });
    expect(sidecar.resources.requests).toMatchObject({ "nvidia.com/gpu": 1, cpu: "4" });
    expect(pod.tolerations).toContainEqual({
      key: "nvidia.com/gpu",
      operator: "Exists",
      effect: "NoSchedule",
    });
  });

  test("may take half an hour to load its model", () => {
    const { startupProbe } = podOf(render({ set: engine }), "grm-worker").initContainers[0];
    expect(startupProbe.httpGet).toEqual({ path: "/health", port: "engine" });
    expect(startupProbe.periodSeconds * startupProbe.failureThreshold).toBe(1800);
  });

  test("is where covote looks for it; an endpoint is where it is said to be", () => {
    const beside = configOf(render({ set: { ...engine, "grmWorker.engine.port": 9000 } }));
    expect(beside.grm.engine).toEqual({ kind: "openai", endpoints: ["http://127.0.0.1:9000"], model: "m" });
    const elsewhere = configOf(
      render({
        set: {
          "metaRm.engine": { mode: "endpoint", url: "http://meta.models:8000", model: "meta" },
          "engine.client": { server: "vllm" },
        },
      }),
    );
    expect(elsewhere.metaRm.engine).toEqual({
      ...{ kind: "openai", endpoints: ["http://meta.models:8000"], model: "meta", server: "vllm" },
    });
    expect([elsewhere.grm, elsewhere.policy]).toEqual([undefined, undefined]);
  });

  test("of several GPUs is spread over them", () => {
    const objects = render({ set: { ...engine, "grmWorker.engine.gpus": 4 } });
    const [sidecar] = podOf(objects, "grm-worker").initContainers;
    expect(sidecar.args.slice(-2)).toEqual(["--tensor-parallel-size", "4"]);
    expect(sidecar.resources.limits["nvidia.com/gpu"]).toBe(4);
  });

  test("asks with a claim where claims are switched on, and for nothing when it needs no GPU", () => {
    const objects = render({
      values: installations["claims for GPUs, volumes and everything of one's own"] ?? [],
    });
    const pod = podOf(objects, "grm-worker");
    expect(pod.resourceClaims).toEqual([{ name: "gpu", resourceClaimTemplateName: "mine-grm-worker-gpu" }]);
    expect(pod.initContainers[0].resources).toMatchObject({ claims: [{ name: "gpu" }] });
    expect(pod.initContainers[0].resources.limits).toBeUndefined();
    // Another engine is started as it is said to be.
    expect(pod.initContainers[0].command).toEqual(["python3", "-m", "sglang.launch_server"]);
    expect(pod.initContainers[0].args).toEqual(["--port", "8000"]);
    const claim = objectOf(objects, "ResourceClaimTemplate", "mine-grm-worker-gpu");
    expect(claim.spec.spec.devices.requests[0].exactly).toMatchObject({
      deviceClassName: "gpu.nvidia.com",
      count: 2,
    });
    const meta = podOf(objects, "meta-rm");
    expect(meta.resourceClaims).toBeUndefined();
    expect(meta.initContainers[0].image).toBe("engine:cpu");
    // Only GPU pods bear the GPU's taint; all bear what all are to bear.
    expect(meta.tolerations).toEqual([{ key: "dedicated", operator: "Exists" }]);
    expect(pod.tolerations).toHaveLength(2);
  });

  test("embedded there is none", () => {
    const pod = podOf(render(), "grm-worker");
    expect(pod.initContainers).toBeUndefined();
    expect(pod.tolerations).toBeUndefined();
  });
});

describe("draining", () => {
  test.each([
    [{}, 5 + 60 + 10],
    [{ "config.cluster.drainTimeoutMs": 90_500 }, 5 + 91 + 10],
    [{ "pods.preStopSeconds": 20 }, 20 + 60 + 10],
    [engine, 5 + 60 + 10 + 15],
  ])("%o gives a pod %i seconds to stop", (set, seconds) => {
    const pod = podOf(render({ set }), "grm-worker");
    expect(pod.terminationGracePeriodSeconds).toBe(seconds);
  });

  test("a pod leaves the endpoints before it is told to stop", () => {
    const { lifecycle } = podOf(render(), "vote-aggregator").containers[0];
    expect(lifecycle).toEqual({ preStop: { sleep: { seconds: 5 } } });
  });

  test("GPU pods are updated one at a time, the old one first", () => {
    const { strategy } = objectOf(render({ set: engine }), "Deployment", "rl-covote-grm-worker").spec;
    expect(strategy.rollingUpdate).toEqual({ maxSurge: 0, maxUnavailable: 1 });
  });
});

describe("the learner", () => {
  const jobOf = (set: Record<string, unknown>): KubernetesObject =>
    render({ set }).find(({ kind }) => kind === "Job") as KubernetesObject;

  test("is a Job with a name that follows from what it runs, since Jobs cannot be changed", () => {
    const one = jobOf({});
    expect(one.metadata.name).toMatch(/^rl-covote-grpo-learner-[0-9a-f]{8}$/);
    expect(jobOf({}).metadata.name).toBe(one.metadata.name);
    expect(jobOf({ "config.training.steps": 7 }).metadata.name).not.toBe(one.metadata.name);
    expect(jobOf({ "grpoLearner.run": "run-2" }).metadata.name).not.toBe(one.metadata.name);
  });

  test("keeps its run on a volume that outlives the release", () => {
    const claim = objectOf(render(), "PersistentVolumeClaim", "rl-covote-grpo-learner");
    expect(claim.metadata.annotations).toMatchObject({ "helm.sh/resource-policy": "keep" });
    expect(configOf(render({ set: { "grpoLearner.run": "r7" } })).run.dir).toBe("/var/lib/covote/r7");
  });
});

describe("the co-scaler", () => {
  const objects = render({
    set: {
      ...engine,
      "coScaler.enabled": true,
      "coScaler.budgetGpus": 8,
      "grmWorker.engine.gpus": 2,
    },
  });

  test("may read and set the pools' replicas, list and patch pods, and hold its lease: nothing else", () => {
    const { rules } = objectOf(objects, "Role", "rl-covote-co-scaler");
    const pools = ["rl-covote-policy-sampler", "rl-covote-grm-worker", "rl-covote-meta-rm"];
    expect(rules).toEqual([
      {
        ...{ apiGroups: ["apps"], resources: ["deployments/scale"] },
        ...{ resourceNames: pools, verbs: ["get", "update"] },
      },
      { apiGroups: [""], resources: ["pods"], verbs: ["list", "patch"] },
      { apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["create"] },
      {
        ...{ apiGroups: ["coordination.k8s.io"], resources: ["leases"] },
        ...{ resourceNames: ["rl-covote-co-scaler"], verbs: ["get", "update"] },
      },
    ]);
    expect(objectOf(objects, "RoleBinding", "rl-covote-co-scaler").subjects).toEqual([
      { kind: "ServiceAccount", name: "rl-covote-co-scaler", namespace: "training" },
    ]);
  });

  test("knows the release's workloads, their GPUs and its lease", () => {
    const { scaling } = configOf(objects);
    expect(scaling).toMatchObject({
      actuator: "kubernetes",
      budgetGpus: 8,
      kubernetes: { lease: "rl-covote-co-scaler" },
      pools: {
        policy: { name: "rl-covote-policy-sampler", gpusPerReplica: 1 },
        grm: { name: "rl-covote-grm-worker", gpusPerReplica: 2 },
        metaRm: { name: "rl-covote-meta-rm", gpusPerReplica: 1 },
      },
    });
  });

  test("leaves the scaling to KEDA where it is to: one pod without rights, which KEDA finds", () => {
    const keda = render({ set: { "coScaler.enabled": true, "coScaler.keda.enabled": true } });
    expect(keda.map(({ kind }) => kind)).not.toContain("Role");
    expect(podOf(keda, "co-scaler")).toMatchObject({
      serviceAccountName: "rl-covote",
      automountServiceAccountToken: false,
    });
    expect(objectOf(keda, "Deployment", "rl-covote-co-scaler").spec.replicas).toBe(1);
    expect(configOf(keda).scaling.actuator).toBe("keda");
    const { spec } = objectOf(keda, "ScaledObject", "rl-covote-grm-worker");
    expect(spec.triggers).toEqual([
      { type: "external", metadata: { scalerAddress: "rl-covote-co-scaler.training:50051", pool: "grm" } },
    ]);
    expect([spec.minReplicaCount, spec.maxReplicaCount]).toEqual([1, 8]);
    expect(objectOf(keda, "Service", "rl-covote-co-scaler").spec.ports[0].port).toBe(50051);
  });

  test("is not there, and has no rights, unless it is asked for", () => {
    const kinds = render().map(({ kind }) => kind);
    expect(kinds).not.toContain("Role");
    expect(configOf(render()).scaling).toBeUndefined();
  });
});

describe("users of NATS", () => {
  const objects = render({ values: installations["256 GPUs"] ?? [] });

  test("a pod sees its own seed and no other", () => {
    for (const { object, pod } of podsOf(objects)) {
      const service = object.metadata.labels["app.kubernetes.io/component"];
      const seed = pod.volumes.find(({ name }: { name: string }) => name === "nats-seed");
      expect(seed.secret).toMatchObject({
        secretName: "covote-nats-seeds",
        items: [{ key: `${service}.nk`, path: "seed.nk" }],
      });
      expect(pod.containers[0].env).toContainEqual({
        name: "COVOTE_NATS_INBOX_PREFIX",
        value: `_INBOX_${service}`,
      });
    }
    expect(configOf(objects).nats).toMatchObject({ nkeySeedFile: "/etc/covote-nats/seed.nk", replicas: 3 });
  });

  test("only the steward makes streams", () => {
    expect(configOf(objects).nats.provision).toBe(false);
    const provisioning = podsOf(objects).filter(({ pod }) =>
      pod.containers[0].env.some(({ name }: { name: string }) => name === "COVOTE_NATS_PROVISION"),
    );
    expect(provisioning.map(({ object }) => object.metadata.name)).toEqual(["rl-covote-nats-steward"]);
  });

  test("nats-server takes the configuration, with the permissions of the code", () => {
    const conf = (name: string): string => {
      const { data } = objectOf(objects, "ConfigMap", name);
      return data["nats.conf"] ?? data["auth.conf"];
    };
    const auth = conf("rl-covote-nats-auth");
    for (const user of natsUsers) {
      expect(auth).toContain(`nkey: ${keys.nkeys[user]}, permissions: {`);
      for (const subject of natsPermissions("covote", user).publish.allow)
        expect(auth).toContain(`"${subject}"`);
    }
    const at = join(folder, "nats");
    for (const part of ["nats-config", "covote-auth"]) mkdirSync(join(at, part), { recursive: true });
    writeFileSync(join(at, "covote-auth", "auth.conf"), auth);
    // Variables of the pod and paths of its volumes, which are not here.
    const config = conf("rl-nats-config")
      .replaceAll("$SERVER_NAME", '"one"')
      .replaceAll("/data", join(at, "data"))
      .replaceAll("/var/run/nats", at);
    writeFileSync(join(at, "nats-config", "nats.conf"), config);
    const checked = spawnSync(
      findNatsServer(process.env) ?? "",
      ["-t", "-c", join(at, "nats-config", "nats.conf")],
      { encoding: "utf8" },
    );
    expect(`${checked.stdout}${checked.stderr}`).toContain("is valid");
  });
});

describe("gRPC over TLS", () => {
  test("asks cert-manager for a certificate with the names that callers use", () => {
    const objects = render({ values: installations["256 GPUs"] ?? [] });
    const { spec } = objectOf(objects, "Certificate", "rl-covote-grpc");
    expect(spec.dnsNames).toContain("rl-covote-vote-aggregator.training.svc");
    expect(spec.usages).toEqual(["server auth", "client auth"]);
    const volume = podOf(objects, "vote-aggregator").volumes.find(
      ({ name }: { name: string }) => name === "grpc-tls",
    );
    expect(volume.secret.secretName).toBe(spec.secretName);
    expect(configOf(objects).grpc.tls.caFile).toBe("/etc/covote-grpc-tls/ca.crt");
  });
});

test("HTTP has a door where it is asked for", () => {
  const objects = render({ set: { "http.enabled": true } });
  expect(configOf(objects).http).toEqual({ address: "0.0.0.0:8080" });
  const { ports } = objectOf(objects, "Service", "rl-covote-vote-aggregator").spec;
  expect(ports).toContainEqual({ name: "http", port: 8080, targetPort: "http", appProtocol: "http" });
  expect(podOf(objects, "vote-aggregator").containers[0].ports).toContainEqual({
    name: "http",
    containerPort: 8080,
  });
  expect(configOf(render()).http).toBeUndefined();
});

test("the chart is of the version that the package has", () => {
  const { version, appVersion } = parse(readFileSync(join(chart, "Chart.yaml"), "utf8"));
  expect([version, appVersion]).toEqual([packageVersion(), packageVersion()]);
});

describe("what watches it", () => {
  test("every dashboard and every alert file of the repository is in the chart", () => {
    const objects = render({
      set: { "monitoring.dashboards.enabled": true, "monitoring.prometheusRule.enabled": true },
    });
    const files = (path: string, end: string): string[] => {
      try {
        return readdirSync(packagePath(path)).filter((name) => name.endsWith(end));
      } catch {
        return [];
      }
    };
    const boards = objects.filter(({ metadata }) => metadata.labels?.grafana_dashboard === "1");
    const dashboards = files("deploy/grafana/dashboards", ".json");
    expect(boards.flatMap(({ data }) => Object.keys(data)).toSorted()).toEqual(dashboards.toSorted());
    for (const name of dashboards) {
      const source = JSON.parse(readFileSync(packagePath(`deploy/grafana/dashboards/${name}`), "utf8"));
      const shown = boards.find(({ data }) => data[name])?.data[name];
      expect(JSON.parse(shown)).toEqual(source);
    }
    const rules = objects.filter(({ kind }) => kind === "PrometheusRule");
    const alerts = files("deploy/prometheus/rules", ".yaml");
    expect(rules).toHaveLength(alerts.length);
    const groups = alerts.flatMap(
      (name) => parse(readFileSync(packagePath(`deploy/prometheus/rules/${name}`), "utf8")).groups,
    );
    expect(rules.flatMap(({ spec }) => spec.groups)).toHaveLength(groups.length);
    for (const group of groups) expect(rules.flatMap(({ spec }) => spec.groups)).toContainEqual(group);
  });
});

test("alerts take the time of a reward and the place of their pages from the values", () => {
  const rules = render({
    set: {
      "monitoring.prometheusRule.enabled": true,
      "monitoring.prometheusRule.rewardSeconds": 180,
      "monitoring.prometheusRule.runbookUrl": "https://git.example/covote/",
    },
  }).filter(({ kind }) => kind === "PrometheusRule");
  const text = JSON.stringify(rules);
  expect(text).toContain('le=\\"180\\"');
  expect(text).not.toContain('le=\\"30\\"');
  expect(text).toContain("within 180 s");
  expect(text).toContain('"https://git.example/covote/docs/runbooks/CovoteEngineOut.md"');
});

describe("values that cannot be meant", () => {
  test.each<[set: Record<string, unknown>, line: string]>([
    [{ "grmWorker.replica": 2 }, "at '/grmWorker': additional properties 'replica' not allowed"],
    [{ "config.judging.vots": 2 }, "at '/config/judging': additional properties 'vots' not allowed"],
    [{ "config.jugding": {} }, "at '/config': additional properties 'jugding' not allowed"],
    [{ "config.judging.votes": 0 }, "at '/config/judging/votes': minimum: got 0, want 1"],
    [{ "engine.gpus": "two" }, "at '/engine/gpus': got string, want integer"],
    [{ "grmWorker.engine.mode": "remote" }, "at '/grmWorker/engine/mode': value must be one of"],
    [{ "pods.runAsUser": 0 }, "at '/pods/runAsUser': minimum: got 0, want 1"],
    [{ "bus.auth.nkeys": { "grm-worker": "SUAXYZ" } }, "at '/bus/auth/nkeys/grm-worker': "],
    [{ "bus.url": "nats://a:4222" }, "bus.url: cannot go with nats.enabled: true"],
    [{ "nats.enabled": false }, "bus.url: is missing; give the address of your NATS"],
    [{ "bus.auth.enabled": true }, "bus.auth.existingSecret: is missing"],
    [{ "bus.auth": { enabled: true, existingSecret: "s" } }, "bus.auth.nkeys.policy-sampler: is missing"],
    [{ "bus.replicas": 3 }, "bus.replicas: 3 copies need a NATS cluster"],
    [{ "grmWorker.engine.mode": "sidecar" }, "grmWorker.engine.model: is missing; mode sidecar"],
    [{ "grmWorker.engine.mode": "endpoint" }, "grmWorker.engine.url: is missing; mode endpoint"],
    [
      { "grmWorker.engine": { mode: "sidecar", model: "m", url: "http://a" } },
      "grmWorker.engine.url: cannot go with mode sidecar",
    ],
    [{ "grpc.tls.enabled": true }, "grpc.tls.existingSecret: is missing"],
    [
      { "grpc.tls": { enabled: true, certManager: { enabled: true } } },
      "grpc.tls.certManager.issuerRef.name: is missing",
    ],
    [{ "metaRm.enabled": false }, "config.metaRm.keep: must be 0 with metaRm.enabled: false"],
    [
      { "config.nats.url": "nats://a:1" },
      "config.nats.url: is decided by the chart; use bus.url or nats.enabled",
    ],
    [{ "config.run.dir": "/a" }, "config.run.dir: is decided by the chart; use grpoLearner.run"],
    [
      {
        "coScaler.enabled": true,
        "coScaler.keda.enabled": true,
        "grpc.tls": { enabled: true, existingSecret: "s" },
      },
      "coScaler.keda.enabled: cannot go with grpc.tls.enabled",
    ],
    [
      { "coScaler.enabled": true, "coScaler.budgetGpus": 2 },
      "coScaler.budgetGpus: 2 GPUs are too few for the pools' minimums, which take 3",
    ],
    [
      { "coScaler.enabled": true, "coScaler.pools.grm": { min: 4, max: 2 } },
      "coScaler.pools.grm.max: must be at least min (4), got 2",
    ],
  ])("%o is refused by the name of the key", (set, line) => {
    const { code, out, err } = template({ set });
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain(line);
  });

  test("claims for GPUs need a Kubernetes that has them; the chart needs one with side-cars", () => {
    expect(template({ set: { "gpu.dra.enabled": true }, kubernetes: "1.33.0" }).err).toContain(
      "gpu.dra.enabled: needs Kubernetes 1.34 (resource.k8s.io/v1), this is v1.33.0",
    );
    expect(template({ kubernetes: "1.28.0" }).err).toContain("chart requires kubeVersion: >=1.30.0-0");
  });
});
