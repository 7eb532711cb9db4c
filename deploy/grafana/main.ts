/** Writes every dashboard as JSON into the folder that is named. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { dashboards } from "./dashboards.js";
import { dashboard } from "./panels.js";

const [folder] = process.argv.slice(2);
if (folder === undefined) {
  process.stderr.write("usage: node dist/deploy/grafana/main.js FOLDER\n");
  process.exit(2);
}
mkdirSync(folder, { recursive: true });
for (const [name, spec] of Object.entries(dashboards)) {
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(dashboard(spec), null, 2)}\n`);
}
