/**
 * Writes what the chart holds that is made of other files: the schema of its values, the table in its README, what each
 * service may do in NATS, and the dashboards and alerts (a chart can only read files of its own).
 *
 * `--check` writes nothing and names what is not as it should be.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { natsPermissions, natsUsers } from "../dist/lib/bus/permissions.js";
import { covoteConfigSchema } from "../dist/lib/host/covote-config.js";
import { valuesTable } from "./chart/readme.js";
import { valuesSchema } from "./chart/values-schema.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const chart = join(root, "charts", "covote");
const [begin, end] = ["<!-- values, written by make chart -->", "<!-- end of values -->"];

/** The subjects of a cluster that the chart gives its own name. */
const placeholder = "__cluster__";

/** @returns {Map<string, string>} Content by path. */
function wanted() {
  const config = z.toJSONSchema(covoteConfigSchema, {
    io: "input",
    target: "draft-7",
    unrepresentable: "any",
  });
  const schema = valuesSchema(/** @type {Record<string, unknown>} */ (config), natsUsers);
  const readme = readFileSync(join(chart, "README.md"), "utf8");
  const [head, rest] = readme.split(begin);
  const tail = rest?.split(end)[1];
  if (tail === undefined) throw new Error(`charts/covote/README.md: "${begin}" and "${end}" are missing`);
  const table = valuesTable(readFileSync(join(chart, "values.yaml"), "utf8"), schema);
  const permissions = Object.fromEntries(natsUsers.map((user) => [user, natsPermissions(placeholder, user)]));
  return new Map([
    ["values.schema.json", json(schema)],
    ["README.md", `${head}${begin}\n${table}\n${end}${tail}`],
    ["files/nats-permissions.json", json(permissions)],
    ...copies("deploy/grafana/dashboards", ".json", "files/dashboards"),
    ...copies("deploy/prometheus/rules", ".yaml", "files/rules"),
  ]);
}

/**
 * @param {string} from @param {string} extension @param {string} to
 * @returns {[string, string][]}
 */
function copies(from, extension, to) {
  const folder = join(root, from);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith(extension))
    .sort()
    .map((name) => [`${to}/${name}`, readFileSync(join(folder, name), "utf8")]);
}

/** @param {unknown} value */
function json(value) {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** @param {ReadonlyMap<string, string>} files @returns {string[]} Copies of what is no more. */
function leftOver(files) {
  return ["files/dashboards", "files/rules"]
    .filter((folder) => existsSync(join(chart, folder)))
    .flatMap((folder) => readdirSync(join(chart, folder)).map((name) => `${folder}/${name}`))
    .filter((path) => !files.has(path));
}

const files = wanted();
const stale = [...files].filter(([path, content]) => {
  const file = join(chart, path);
  return !existsSync(file) || readFileSync(file, "utf8") !== content;
});
const surplus = leftOver(files);
if (process.argv.includes("--check")) {
  for (const path of [...stale.map(([name]) => name), ...surplus]) {
    console.error(`${relative(root, join(chart, path))} is not what it is made of says`);
  }
  process.exitCode = stale.length + surplus.length > 0 ? 1 : 0;
} else {
  for (const [path, content] of stale) {
    mkdirSync(dirname(join(chart, path)), { recursive: true });
    writeFileSync(join(chart, path), content);
  }
  for (const path of surplus) rmSync(join(chart, path));
}
