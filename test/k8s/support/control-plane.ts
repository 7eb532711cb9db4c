/**
 * A Kubernetes control plane of this machine: etcd, kube-apiserver with RBAC and admission, controller-manager,
 * scheduler, and kwok, which plays the kubelets of nodes that do not exist. Free ports, a temporary folder, tokens
 * and certificates of its own; all of it is gone at the end.
 *
 * Pods get scheduled, run, become ready and end as on a cluster; nothing runs in them. What has to run stands
 * beside it as a process of this machine; see pod-processes.ts.
 */
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packagePath } from "../../../lib/core/package-root.js";
import { type Daemon, startDaemon } from "./daemon.js";
import { createKube, eventually, type Kube, KubeError } from "./kube.js";

export interface ControlPlane extends AsyncDisposable {
  /** `https://127.0.0.1:…` */
  readonly server: string;
  /** The certificate of the API server and of its authority, and its key. */
  readonly caFile: string;
  readonly keyFile: string;
  /** Of a cluster administrator. */
  readonly kubeconfig: string;
  readonly kube: Kube;
  readonly dir: string;
  readonly apiServer: Daemon;
  readonly controllerManager: Daemon;
  readonly scheduler: Daemon;
  /** Starts the API server again and waits until it is ready. */
  startApiServer(): Promise<void>;
  /** A kubeconfig file with the given token, for this API server or one in front of it. */
  writeKubeconfig(name: string, options: { token: string; server?: string; namespace?: string }): string;
  /** A token of a service account, as a pod of it would have. */
  tokenOf(namespace: string, serviceAccount: string): Promise<string>;
}

const tools = packagePath(".tools", "k8s");

export async function startControlPlane(): Promise<ControlPlane> {
  const bin = join(tools, "bin");
  if (!existsSync(join(bin, "kube-apiserver")))
    throw new Error("there is no control plane in .tools/k8s; `make test-k8s` builds it");
  const dir = mkdtempSync(join(tmpdir(), "covote-k8s-"));
  mkdirSync(join(dir, "logs"));
  const [etcdPort, peerPort, apiPort, managerPort, schedulerPort] = (await freePorts(5)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const daemons: Daemon[] = [];
  const start = (name: string, args: readonly string[]): Daemon => {
    const logFile = join(dir, "logs", `${name}.log`);
    const daemon = startDaemon({ name, command: join(bin, name), args, logFile });
    daemons.push(daemon);
    return daemon;
  };
  const stop = async (): Promise<void> => {
    for (const daemon of daemons.reverse()) await daemon.kill("SIGKILL");
    // What went wrong is looked up in the logs.
    if (process.env.COVOTE_KEEP === "1") console.error(`kept: ${dir}`);
    else rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  };

  try {
    const etcd = `http://127.0.0.1:${etcdPort}`;
    const peer = `http://127.0.0.1:${peerPort}`;
    start("etcd", [
      ...["--name", "default", "--data-dir", join(dir, "etcd"), "--log-level", "warn", "--unsafe-no-fsync"],
      ...["--listen-client-urls", etcd, "--advertise-client-urls", etcd],
      ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
      ...["--initial-cluster", `default=${peer}`],
    ]);

    const token = randomBytes(16).toString("hex");
    const tokens = join(dir, "tokens.csv");
    writeFileSync(tokens, `${token},admin,admin,system:masters\n`, { mode: 0o600 });
    const { privateKey, publicKey } = generateKeyPairSync("rsa", {
      modulusLength: 2048,
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
      publicKeyEncoding: { type: "spki", format: "pem" },
    });
    const signingKey = join(dir, "service-accounts.key");
    const verifyKey = join(dir, "service-accounts.pub");
    writeFileSync(signingKey, privateKey, { mode: 0o600 });
    writeFileSync(verifyKey, publicKey);

    const server = `https://127.0.0.1:${apiPort}`;
    const certificates = join(dir, "certificates");
    // Made and signed by the API server itself; the file holds the authority's certificate too.
    const caFile = join(certificates, "apiserver.crt");
    const issuer = "https://kubernetes.default.svc";
    const apiServer = start("kube-apiserver", [
      ...["--etcd-servers", etcd, "--bind-address", "127.0.0.1", "--secure-port", `${apiPort}`],
      ...["--advertise-address", "127.0.0.1", "--endpoint-reconciler-type", "none"],
      ...["--cert-dir", certificates, "--token-auth-file", tokens, "--authorization-mode", "RBAC"],
      ...["--service-account-issuer", issuer, "--service-account-key-file", verifyKey],
      ...["--service-account-signing-key-file", signingKey, "--service-cluster-ip-range", "10.0.0.0/16"],
    ]);
    const ready = async (kube: Kube, timeoutMs: number): Promise<void> => {
      const check = async (): Promise<boolean> => {
        if (!apiServer.running()) throw new Error(`kube-apiserver ended: ${apiServer.log().slice(-2000)}`);
        await kube.call("GET", "/api/v1/namespaces/default", undefined, { timeoutMs: 2000 });
        return true;
      };
      await eventually("the API server is ready", check, Boolean, timeoutMs);
    };
    await eventually("the API server has a certificate", () => existsSync(caFile), Boolean, 60_000);
    const kube = createKube({ server, ca: readFileSync(caFile, "utf8"), token });
    await ready(kube, 120_000);

    const writeKubeconfig: ControlPlane["writeKubeconfig"] = (name, options) => {
      const file = join(dir, `${name}.kubeconfig`);
      const to = options.server ?? server;
      const cluster = to.startsWith("https")
        ? { server: to, "certificate-authority": caFile }
        : { server: to };
      const config = {
        apiVersion: "v1",
        kind: "Config",
        clusters: [{ name: "covote", cluster }],
        users: [{ name, user: { token: options.token } }],
        contexts: [
          {
            name: "covote",
            context: { cluster: "covote", user: name, namespace: options.namespace ?? "default" },
          },
        ],
        "current-context": "covote",
      };
      writeFileSync(file, JSON.stringify(config, null, 2), { mode: 0o600 });
      return file;
    };
    const kubeconfig = writeKubeconfig("admin", { token });

    const controllerManager = start("kube-controller-manager", [
      ...["--kubeconfig", kubeconfig, "--leader-elect=false", "--bind-address", "127.0.0.1"],
      ...["--secure-port", `${managerPort}`, "--cert-dir", join(dir, "manager")],
      ...["--service-account-private-key-file", signingKey, "--root-ca-file", caFile],
      // A kubelet renews its lease through an outage of the API server; kwok starts over after one.
      ...["--node-monitor-grace-period", "900s"],
    ]);
    const scheduler = start("kube-scheduler", [
      ...["--kubeconfig", kubeconfig, "--leader-elect=false", "--bind-address", "127.0.0.1"],
      ...["--secure-port", `${schedulerPort}`, "--cert-dir", join(dir, "scheduler")],
    ]);
    start("kwok", [
      ...["--kubeconfig", kubeconfig, "--config", join(tools, "stages.yaml"), "--manage-all-nodes=true"],
      ...["--node-lease-duration-seconds", "40"],
    ]);
    await eventually(
      "the controllers run",
      () => kube.get("/api/v1/namespaces/default/serviceaccounts/default"),
      Boolean,
    );

    return {
      server,
      caFile,
      keyFile: join(certificates, "apiserver.key"),
      kubeconfig,
      kube,
      dir,
      apiServer,
      controllerManager,
      scheduler,
      startApiServer: async () => {
        apiServer.start();
        await ready(kube, 120_000);
      },
      writeKubeconfig,
      tokenOf: async (namespace, serviceAccount) => {
        const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${serviceAccount}/token`;
        const { status } = await kube.create(path, {
          apiVersion: "authentication.k8s.io/v1",
          kind: "TokenRequest",
          spec: { expirationSeconds: 3600 },
        });
        return status.token as string;
      },
      [Symbol.asyncDispose]: stop,
    };
  } catch (cause) {
    await stop();
    throw cause;
  }
}

/** A namespace whose pods must meet the restricted Pod Security Standard, with its service account. */
export async function createNamespace(kube: Kube, name: string): Promise<void> {
  await kube.create("/api/v1/namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name, labels: { "pod-security.kubernetes.io/enforce": "restricted" } },
  });
  await eventually(
    `namespace ${name} has a service account`,
    () => kube.get(`/api/v1/namespaces/${name}/serviceaccounts/default`),
    Boolean,
  );
}

/** Nodes as a device plugin would report them, tainted like those of a cloud; without GPUs, for everything else. */
export async function createNodes(
  kube: Kube,
  options: { count: number; gpus: number; prefix?: string },
): Promise<string[]> {
  const { count, gpus, prefix = gpus > 0 ? "gpu" : "cpu" } = options;
  const names = Array.from({ length: count }, (_, i) => `${prefix}-${i}`);
  const resources = {
    cpu: "64",
    memory: "512Gi",
    "ephemeral-storage": "1Ti",
    pods: "110",
    ...(gpus > 0 ? { "nvidia.com/gpu": `${gpus}` } : {}),
  };
  for (const name of names) {
    await kube.create("/api/v1/nodes", {
      apiVersion: "v1",
      kind: "Node",
      metadata: {
        name,
        labels: {
          "kubernetes.io/hostname": name,
          "kubernetes.io/os": "linux",
          "kubernetes.io/arch": "amd64",
          ...(gpus > 0
            ? { "nvidia.com/gpu.present": "true", "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3" }
            : {}),
        },
      },
      spec: gpus > 0 ? { taints: [{ key: "nvidia.com/gpu", value: "present", effect: "NoSchedule" }] } : {},
      status: { capacity: resources, allocatable: resources },
    });
  }
  for (const name of names) {
    await eventually(
      `node ${name} is ready`,
      () => kube.get(`/api/v1/nodes/${name}`),
      (node) =>
        node.status?.conditions?.some(
          (condition: { type: string; status: string }) =>
            condition.type === "Ready" && condition.status === "True",
        ) && !(node.spec.taints ?? []).some((taint: { key: string }) => taint.key.includes("not-ready")),
    );
  }
  return names;
}

/** The error of a call that must be refused. */
export async function refusal(call: Promise<unknown>): Promise<KubeError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof KubeError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

/** Ports that nobody has now; all taken at once, so that they differ. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<{ port: number; close: () => Promise<void> }>((resolve, reject) => {
          const server = createServer();
          server.once("error", reject);
          server.listen(0, "127.0.0.1", () => {
            const address = server.address() as { port: number };
            resolve({
              port: address.port,
              close: () => new Promise((closed) => void server.close(() => closed())),
            });
          });
        }),
    ),
  );
  await Promise.all(servers.map((server) => server.close()));
  return servers.map((server) => server.port);
}
