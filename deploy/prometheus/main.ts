/** Writes the rules of Prometheus into the folder that is given. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ruleFiles } from "./files.js";

const folder = process.argv[2];
if (folder === undefined) throw new Error("give the folder to write to");
mkdirSync(folder, { recursive: true });
for (const [name, text] of Object.entries(ruleFiles())) writeFileSync(join(folder, name), text);
