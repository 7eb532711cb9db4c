/** deploy/compose.yaml against the schema of compose files. Helm is the checker: it holds values against any schema. */
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { stringify } from "yaml";
import { packagePath } from "../../lib/core/package-root.js";
import { folder, removeFolder } from "./support/features.js";
import { readCompose, validateValues } from "./support/helm.js";

removeFolder();

test("deploy/compose.yaml is a compose file, and a misspelt key would be found", () => {
  const checker = join(folder, "checker");
  mkdirSync(checker);
  writeFileSync(
    join(checker, "Chart.yaml"),
    stringify({ apiVersion: "v2", name: "checker", version: "0.0.0" }),
  );
  copyFileSync(packagePath(".tools/compose-spec.json"), join(checker, "values.schema.json"));
  const compose = readCompose();
  expect(validateValues(checker, compose)).toBe("");
  const { services } = compose;
  const misspelt = { ...compose, services: { ...services, nats: { ...services.nats, imagee: "x" } } };
  expect(validateValues(checker, misspelt)).toMatch(/services\/nats.*imagee/s);
});
