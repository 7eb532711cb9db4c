/**
 * What `make test-helm` needs, into .tools/: helm and kubeconform, built by Go, and JSON schemas of the objects that the
 * chart makes and of compose files, from the Go modules of their makers. All of it in exact versions, and kept.
 *
 * Without Go: one line that says so, exit code 3; in continuous integration that is a failure, exit code 2.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { crdSchemas, kubernetesSchemas } from "./helm/schemas.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const bin = join(root, ".tools", "bin");
const schemas = join(root, ".tools", "kubernetes-schemas");
const composeSchema = join(root, ".tools", "compose-spec.json");

const programs = {
  kubeconform: "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0",
  helm: "helm.sh/helm/v3/cmd/helm@v3.21.4",
};
const kubernetes = "k8s.io/kubernetes@v1.36.3";
/** Custom resources: module, and files of definitions in it. */
const customResources = {
  "github.com/prometheus-operator/prometheus-operator@v0.85.0": [
    "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
    "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
  ],
  "github.com/cert-manager/cert-manager@v1.21.2": ["deploy/crds/cert-manager.io_certificates.yaml"],
  "github.com/kedacore/keda/v2@v2.20.2": ["config/crd/bases/keda.sh_scaledobjects.yaml"],
};

const compose = "github.com/compose-spec/compose-go/v2@v2.16.2";

/** @param {string[]} args @param {Record<string, string>} [env] */
function go(args, env = {}) {
  const result = spawnSync("go", args, {
    encoding: "utf8",
    // Outside of any module: versions are those that are named.
    cwd: join(root, ".tools"),
    env: { ...process.env, GOFLAGS: "-buildvcs=false", GOWORK: "off", ...env },
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 64 * 1024 * 1024,
  });
  if (result.status === 0) return result.stdout;
  const why = (result.error?.message ?? result.stderr).trim().split("\n").slice(-3).join("; ");
  console.error(`covote: go ${args.join(" ")} failed: ${why}`);
  process.exit(2);
}

/** @param {string} module @returns {string} Folder. */
function moduleFolder(module) {
  return JSON.parse(go(["mod", "download", "-json", module])).Dir;
}

/** @param {string} file @param {string} wanted */
function isKept(file, wanted) {
  return existsSync(file) && readFileSync(file, "utf8") === wanted;
}

mkdirSync(bin, { recursive: true });
const stampOfSchemas = `${JSON.stringify([kubernetes, customResources, compose])}\n`;
const missing = Object.entries(programs).filter(
  ([name, module]) => !existsSync(join(bin, name)) || !isKept(join(bin, `.${name}.version`), `${module}\n`),
);
const schemasKept = isKept(join(schemas, ".made-of"), stampOfSchemas);

if ((missing.length > 0 || !schemasKept) && spawnSync("go", ["version"]).status !== 0) {
  const what = missing.map(([name]) => name).join(" and ") || "the schemas of Kubernetes";
  console.error(
    `covote: make test-helm needs ${what}, which Go builds, and there is no Go in PATH; install Go 1.26 or newer (https://go.dev/dl)`,
  );
  process.exit(process.env.CI ? 2 : 3);
}
for (const [name, module] of missing) {
  console.error(`building ${module} (helm takes some minutes, once)`);
  go(["install", "-ldflags=-s -w", module], { GOBIN: bin });
  writeFileSync(join(bin, `.${name}.version`), `${module}\n`);
}
if (!schemasKept) {
  rmSync(schemas, { recursive: true, force: true });
  mkdirSync(schemas, { recursive: true });
  const swagger = readFileSync(join(moduleFolder(kubernetes), "api", "openapi-spec", "swagger.json"), "utf8");
  const made = [
    ...kubernetesSchemas(JSON.parse(swagger)),
    ...Object.entries(customResources).flatMap(([module, files]) => {
      const folder = moduleFolder(module);
      return files.flatMap((file) => crdSchemas(readFileSync(join(folder, file), "utf8")));
    }),
  ];
  for (const [name, schema] of made) writeFileSync(join(schemas, name), JSON.stringify(schema));
  writeFileSync(composeSchema, readFileSync(join(moduleFolder(compose), "schema", "compose-spec.json")));
  writeFileSync(join(schemas, ".made-of"), stampOfSchemas);
}
