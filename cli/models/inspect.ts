/** What a checkpoint folder is, read from the folder itself: shape, size, vocabulary, and what its README says. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { type Checkpoint, openCheckpoint } from "../../lib/llama/checkpoint.js";
import { layoutOf } from "../../lib/llama/layout.js";
import { createTokenizer } from "../../lib/llama/tokenizer.js";

export interface InspectedModel {
  name: string;
  /** Absolute. */
  path: string;
  /** What the model can do: write text, or score it. */
  kind: "language model" | "scalar head";
  parameters: number;
  /** Of `model.safetensors`. */
  bytes: number;
  checkpoint: Checkpoint;
  /** First paragraph of its README; empty when there is none. */
  about: string;
  /** Rows of the README's table: what was measured. */
  figures: readonly { what: string; value: string }[];
}

/** Throws `invalid_argument` that names the file and the fix. */
export async function inspectModel(folder: string): Promise<InspectedModel> {
  const path = resolve(folder);
  const checkpoint = await openCheckpoint(folder);
  // Compiles tokenizer and template: a folder that shows is a folder that serves.
  createTokenizer(checkpoint).chat([{ role: "user", content: "." }]);
  const readme = join(path, "README.md");
  return {
    name: basename(path),
    path,
    kind: checkpoint.config.head === "lm" ? "language model" : "scalar head",
    parameters: layoutOf(checkpoint.config).size,
    bytes: statSync(join(path, "model.safetensors")).size,
    checkpoint,
    ...parseReadme(existsSync(readme) ? readFileSync(readme, "utf8") : ""),
  };
}

/** Folders below `root` that hold a checkpoint, in order of name; empty when there is no such folder. */
export function modelFolders(root: string): string[] {
  if (!existsSync(root)) return [];
  return readdirSync(root)
    .sort()
    .map((name) => join(root, name))
    .filter((folder) => existsSync(join(folder, "config.json")));
}

export function parseReadme(text: string): Pick<InspectedModel, "about" | "figures"> {
  const lines = text.split("\n");
  const about =
    lines.find((line) => line.trim() !== "" && !line.startsWith("#") && !line.startsWith("|")) ?? "";
  const rows = lines.filter((line) => line.startsWith("|") && !/^\|[\s:|-]+\|$/.test(line)).slice(1);
  const figures = rows.map((row) => {
    const [what = "", value = ""] = row.split("|").slice(1, -1);
    return { what: what.trim(), value: value.trim() };
  });
  return { about, figures: figures.filter(({ what }) => what !== "parameters") };
}
