import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CovoteError } from "../../lib/core/errors.js";
import { compileCovoteConfig } from "../../lib/host/covote-config.js";
import { saveCheckpoint } from "../../lib/llama/checkpoint.js";
import { type CheckpointRole, openConfiguredCheckpoint } from "../../lib/runtime/checkpoints.js";
import { type ModelFolders, tinyPostcards, writePostcardsModels } from "../support/postcards-models.js";
import { covote } from "../support/terminal.js";
import { tinyCheckpoint } from "../support/tiny-llama.js";

const folder = mkdtempSync(join(tmpdir(), "covote-checkpoints-"));
afterAll(() => rmSync(folder, { recursive: true }));
let models: ModelFolders;
beforeAll(async () => {
  models = await writePostcardsModels(join(folder, "models"));
});

async function refusal(role: CheckpointRole, overrides: Record<string, unknown>): Promise<string> {
  const config = compileCovoteConfig({ overrides });
  const thrown: unknown = await openConfiguredCheckpoint(config, role).catch((error: unknown) => error);
  expect(thrown).toBeInstanceOf(CovoteError);
  const error = thrown as CovoteError;
  expect(error.code).toBe("invalid_argument");
  expect(error.message).not.toContain("\n");
  return error.message;
}

/** A copy of the GRM with one file changed. */
let copies = 0;
function damaged(change: (dir: string) => void): string {
  const dir = join(folder, `damaged-${++copies}`);
  cpSync(models.grm, dir, { recursive: true });
  change(dir);
  return dir;
}

const files = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"] as const;
const allFiles = [...files, "chat_template.jinja"] as const;

test("checkpoints: sound ones open in their roles", async () => {
  const config = compileCovoteConfig({
    overrides: {
      "policy.checkpoint": models.policy,
      "grm.checkpoint": models.grm,
      "metaRm.checkpoint": models.metaRm,
    },
  });
  for (const role of ["policy", "grm", "meta-rm"] as const) {
    const { path } = await openConfiguredCheckpoint(config, role);
    expect(path).toBe({ policy: models.policy, grm: models.grm, "meta-rm": models.metaRm }[role]);
  }
});

describe("checkpoints: each file missing, garbled or cut short is named with the setting", () => {
  test.each(files)("%s is missing", async (file) => {
    const dir = damaged((at) => rmSync(join(at, file)));
    expect(await refusal("grm", { "grm.checkpoint": dir })).toBe(
      `grm.checkpoint: ${dir}/${file}: no such file; give the folder of a Hugging Face Llama checkpoint`,
    );
  });

  test.each(allFiles)("%s is garbled", async (file) => {
    const garbage = Buffer.from("{{%\u0000garbage\n", "utf8");
    const dir = damaged((at) => writeFileSync(join(at, file), garbage));
    const message = await refusal("grm", { "grm.checkpoint": dir });
    expect(message).toMatch(new RegExp(`^grm\\.checkpoint: .*${file.replace(".", "\\.")}: `));
  });

  test.each(files)("%s is cut short", async (file) => {
    const dir = damaged((at) => {
      const path = join(at, file);
      truncateSync(path, Math.floor(readFileSync(path).length / 2));
    });
    expect(await refusal("grm", { "grm.checkpoint": dir })).toMatch(
      new RegExp(`^grm\\.checkpoint: ${dir}/${file}: `),
    );
  });

  test.each(files)("%s is empty", async (file) => {
    const dir = damaged((at) => truncateSync(join(at, file), 0));
    expect(await refusal("grm", { "grm.checkpoint": dir })).toMatch(
      new RegExp(`^grm\\.checkpoint: ${dir}/${file}: `),
    );
  });

  test("there is no chat template", async () => {
    const dir = damaged((at) => {
      rmSync(join(at, "chat_template.jinja"));
      const path = join(at, "tokenizer_config.json");
      const { chat_template: _, ...rest } = JSON.parse(readFileSync(path, "utf8"));
      writeFileSync(path, JSON.stringify(rest));
    });
    expect(await refusal("grm", { "grm.checkpoint": dir })).toBe(
      "grm.checkpoint: chat_template.jinja: missing; add the model's chat template to the checkpoint",
    );
  });

  test("the folder is a file, or is not there", async () => {
    const path = join(models.grm, "config.json");
    for (const given of [path, join(folder, "none")]) {
      expect(await refusal("policy", { "policy.checkpoint": given })).toBe(
        `policy.checkpoint: ${given}/config.json: no such file; give the folder of a Hugging Face Llama checkpoint`,
      );
    }
  });
});

describe("checkpoints: a sound one in the wrong place is refused", () => {
  test("the tokenizer of another model", async () => {
    const other = join(folder, "other");
    await saveCheckpoint(other, tinyCheckpoint(), { dtype: "float32" });
    const dir = damaged((at) => cpSync(join(other, "tokenizer.json"), join(at, "tokenizer.json")));
    expect(await refusal("grm", { "grm.checkpoint": dir })).toMatch(
      /^grm\.checkpoint: .*tokenizer\.json: 40 tokens, config\.json says vocab_size 97; use the tokenizer of this model$/,
    );
  });

  test("a vocabulary without the grammar's words, for GRM and meta RM", async () => {
    const lm = join(folder, "no-words");
    await saveCheckpoint(lm, tinyCheckpoint(), { dtype: "float32" });
    const scalar = join(folder, "no-words-scalar");
    await saveCheckpoint(scalar, tinyCheckpoint({ head: "scalar" }), { dtype: "float32" });
    const rest =
      "does not know the words principles, critique, scores, response and 21 more of grm.grammar postcards; " +
      "give a checkpoint that was trained for this grammar, or name its own grammar";
    expect(await refusal("grm", { "grm.checkpoint": lm })).toBe(`grm.checkpoint: ${lm} ${rest}`);
    expect(await refusal("meta-rm", { "metaRm.checkpoint": scalar })).toBe(
      `metaRm.checkpoint: ${scalar} ${rest}`,
    );
    const config = compileCovoteConfig({
      overrides: { "grm.checkpoint": lm, "grm.grammar": "deepseek-grm" },
    });
    await expect(openConfiguredCheckpoint(config, "grm")).rejects.toThrow("positions, too few");
  });

  test("a model that cannot write, and one that cannot score", async () => {
    expect(await refusal("grm", { "grm.checkpoint": models.metaRm })).toBe(
      `grm.checkpoint: ${models.metaRm} has a scalar head and cannot write; give a LlamaForCausalLM checkpoint`,
    );
    expect(await refusal("meta-rm", { "metaRm.checkpoint": models.grm })).toBe(
      `metaRm.checkpoint: ${models.grm} has no scalar head; give a LlamaForSequenceClassification checkpoint`,
    );
  });

  test("a context too short for what is asked", async () => {
    const short = join(folder, "short");
    await saveCheckpoint(short, tinyPostcards({ maxPositions: 32 }), { dtype: "float32" });
    expect(await refusal("grm", { "grm.checkpoint": short })).toMatch(
      /has 32 positions, too few for a prompt and the 30 tokens of grm\.grammar postcards; give/,
    );
    expect(await refusal("policy", { "policy.checkpoint": short, "policy.maxTokens": 30 })).toMatch(
      /has 32 positions, too few for a prompt and the 30 tokens of policy\.maxTokens; give/,
    );
  });
});

describe("covote models", () => {
  test("show says what a folder holds", async () => {
    const { code, out } = await covote(["models", "show", models.grm]);
    expect(code).toBe(0);
    expect(out).toContain("language model");
    expect(out).toContain("1 layers, hidden 16, 4 heads of 8 (2 for keys), feed-forward 24");
    const json = await covote(["models", "show", models.metaRm, "--json"]);
    expect(JSON.parse(json.out)).toMatchObject({ name: "meta-rm", kind: "scalar head" });
  });

  test("show reads what the README says was measured", async () => {
    const dir = damaged((at) =>
      writeFileSync(
        join(at, "README.md"),
        "# x\n\nJudges things.\n\n| figure | value |\n| --- | --- |\n| parameters | 9 |\n| right | 0.75 |\n",
      ),
    );
    const { out } = await covote(["models", "show", dir]);
    expect(out).toContain("    Judges things.\n");
    expect(out).toMatch(/^ {4}right +0\.75$/m);
  });

  test("show refuses a folder that is none, in one line", async () => {
    const { code, out, err } = await covote(["models", "show", folder]);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toBe(
      `covote: ${folder}/config.json: no such file; give the folder of a Hugging Face Llama checkpoint\n`,
    );
  });

  test.each([
    [["train", "chess"], '<world>: must be postcards, got "chess"'],
    [["train", "postcards", "--seed", "-1"], '--seed: must be a whole number from 0 to 4294967295, got "-1"'],
    [["train", "postcards", "--threads", "0"], '--threads: must be a whole number from 1 to 64, got "0"'],
  ])("%j is refused in one line", async (args, line) => {
    const { code, err } = await covote(["models", ...args]);
    expect([code, err]).toEqual([2, `covote: ${line}\n`]);
  });
});
