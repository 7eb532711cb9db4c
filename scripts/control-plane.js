/**
 * Builds a Kubernetes control plane into .tools/k8s: etcd, kube-apiserver, kube-controller-manager, kube-scheduler
 * and kwok, from the versions that test/k8s/controlplane/go.mod and go.sum pin.
 *
 * What was built of the same pins by the same Go is kept. Building it the first time takes a while; a build that
 * was stopped goes on where it was, since Go keeps what it compiled.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const pins = join(root, "test", "k8s", "controlplane");
const tools = join(root, ".tools", "k8s");
const bin = join(tools, "bin");
const stampFile = join(tools, ".built-of");

/** Name of the executable, and its main package. */
const programs = {
  etcd: "go.etcd.io/etcd/server/v3",
  "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
  "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
  "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
  kwok: "sigs.k8s.io/kwok/cmd/kwok",
};

/** What a simulated kubelet does, as kwok ships it. */
const stages = [
  "node/fast/node-initialize.yaml",
  "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
  "pod/fast/pod-ready.yaml",
  "pod/fast/pod-complete.yaml",
  "pod/fast/pod-delete.yaml",
];

/** @param {string} line */
function fail(line) {
  console.error(`covote: ${line}`);
  process.exit(2);
}

/** @param {string[]} args @returns {string} */
function go(args) {
  const { status, stdout, error } = spawnSync("go", args, {
    cwd: pins,
    encoding: "utf8",
    env: { ...process.env, GOFLAGS: "", GOWORK: "off" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (error !== undefined || status !== 0) fail(`go ${args[0]} failed${error ? `: ${error.message}` : ""}`);
  return stdout.trim();
}

const wanted = /^go (\d+)\.(\d+)/m.exec(readFileSync(join(pins, "go.mod"), "utf8"));
const version = spawnSync("go", ["env", "GOVERSION"], { encoding: "utf8" }).stdout?.trim() ?? "";
const found = /^go(\d+)\.(\d+)/.exec(version);
const least = `${wanted?.[1]}.${wanted?.[2]}`;
if (found === null) {
  fail(
    `make test-k8s builds the Kubernetes control plane and needs Go ${least} or newer; there is none in PATH (https://go.dev/dl)`,
  );
} else if (Number(found[1]) * 1000 + Number(found[2]) < Number(wanted?.[1]) * 1000 + Number(wanted?.[2])) {
  fail(
    `make test-k8s builds the Kubernetes control plane and needs Go ${least} or newer, this is ${version} (https://go.dev/dl)`,
  );
}

const hash = createHash("sha256");
for (const file of ["go.mod", "go.sum"]) hash.update(readFileSync(join(pins, file)));
hash.update(readFileSync(fileURLToPath(import.meta.url)));
const stamp = `${hash.digest("hex")} ${version}\n`;
const kept = existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp;

if (!kept) {
  rmSync(stampFile, { force: true });
  mkdirSync(bin, { recursive: true });
  console.error("downloading the sources of the Kubernetes control plane");
  go(["mod", "download"]);
  const kubernetes = go(["list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes"]);
  const [major, minor] = kubernetes.slice(1).split(".");
  // Built outside its own repository it would not know its version, which clients ask for.
  const versions = {
    "k8s.io/component-base/version.gitVersion": kubernetes,
    "k8s.io/component-base/version.gitMajor": major,
    "k8s.io/component-base/version.gitMinor": minor,
    "k8s.io/client-go/pkg/version.gitVersion": kubernetes,
  };
  const flags = Object.entries(versions).map(([name, value]) => `-X ${name}=${value}`);
  // One core is left to whatever else this machine does.
  const parallel = String(Math.max(1, availableParallelism() - 1));
  for (const [name, main] of Object.entries(programs)) {
    const startedAt = Date.now();
    console.error(`building ${name}`);
    go([
      "build",
      "-p",
      parallel,
      "-trimpath",
      "-ldflags",
      `-s -w ${flags.join(" ")}`,
      "-o",
      join(bin, name),
      main,
    ]);
    console.error(`built ${name} in ${Math.round((Date.now() - startedAt) / 1000)} s`);
  }
  const kwok = go(["list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok"]);
  const texts = stages.map((file) => readFileSync(join(kwok, "kustomize", "stage", file), "utf8").trim());
  writeFileSync(join(tools, "stages.yaml"), `${texts.join("\n---\n")}\n`);
  writeFileSync(stampFile, stamp);
}
console.error(`control plane of ${version}: ${readdirSync(bin).sort().join(", ")} in .tools/k8s/bin`);
