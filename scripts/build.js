/**
 * Compiles to dist/ when a source is newer than the last compilation, and removes what has no source any
 * more, so that a test of a deleted file does not go on running.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const dist = join(root, "dist");
const stamp = join(dist, ".compiled");
const folders = ["lib", "services", "worlds", "cli", "deploy", "bench", "test"];

/** @param {string} folder @returns {string[]} */
function filesBelow(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

const sources = folders
  .flatMap((folder) => filesBelow(join(root, folder)))
  .filter((file) => file.endsWith(".ts"));
const inputs = [...sources, join(root, "tsconfig.json"), join(root, "package-lock.json")];
const compiledAt = existsSync(stamp) ? statSync(stamp).mtimeMs : 0;
const wanted = new Set(sources.map((file) => relative(root, file).replace(/\.ts$/, "")));
const outputs = filesBelow(dist).filter((file) => /\.js(\.map)?$/.test(file));
const stale = outputs.filter((file) => !wanted.has(relative(dist, file).replace(/\.js(\.map)?$/, "")));
const present = new Set(outputs);
// The kernels are AssemblyScript, compiled by their own script.
const missing = sources.some(
  (file) =>
    !file.includes(join("lib", "llama", "kernels")) &&
    !file.endsWith(".d.ts") &&
    !present.has(join(dist, relative(root, file).replace(/\.ts$/, ".js"))),
);

for (const file of stale) rmSync(file);
if (missing || inputs.some((file) => statSync(file).mtimeMs > compiledAt)) {
  const startedAt = Date.now();
  // An incremental compiler that is told that nothing changed writes nothing, whatever is missing.
  if (missing) rmSync(join(dist, ".tsbuildinfo"), { force: true });
  const tsc = createRequire(import.meta.url).resolve("typescript/package.json");
  const result = spawnSync(process.execPath, [join(dirname(tsc), "bin", "tsc"), "-p", root], {
    stdio: ["ignore", 2, 2],
  });
  if (result.status !== 0) process.exit(result.status ?? 1);
  writeFileSync(stamp, `${new Date(startedAt).toISOString()}\n`);
}
