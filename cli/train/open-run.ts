/**
 * The folder that a training run works in: a new one, or that of a run that was interrupted.
 *
 * Everything that can be known to be wrong is found before a folder is made; a run that fails before it has
 * measured or learned anything leaves none behind.
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CovoteError, invalid } from "../../lib/core/errors.js";
import { newId } from "../../lib/core/ids.js";
import { grammars } from "../../lib/grm/grammar.js";
import type { CovoteConfig } from "../../lib/host/covote-config.js";
import { shippedCheckpoint } from "../../lib/host/shipped.js";
import { openConfiguredCheckpoint, someOf, unknownWords } from "../../lib/runtime/checkpoints.js";
import { engineOf } from "../../lib/runtime/engines.js";
import { checkLearnable } from "../../services/grpo-learner/learnable.js";
import { panelRoomOf } from "../../services/grpo-learner/panel-room.js";
import { openRejective } from "../../services/grpo-learner/rejective.js";
import { openRunPrompts } from "../../services/grpo-learner/run-prompts.js";
import { cardWords, frameWords, places, recipients, requestable } from "../../worlds/postcards/vocabulary.js";
import { scalesAsService } from "../cluster/local-scaling.js";
import { rolesOf } from "../cluster/roles.js";
import { type ConfigFlags, compileFlags } from "../options.js";
import { preflight } from "../preflight.js";
import { mask } from "../run/mask-secrets.js";
import { createRunFolder, hasBegun, openRunFolder, type RunFolder } from "../run/run-folder.js";

export interface RunFlags extends ConfigFlags {
  seed?: string;
  steps?: string;
  out: string;
  resume?: string;
  processes?: boolean;
  /** Fields that the command itself decides. */
  fixed?: Readonly<Record<string, unknown>>;
  /** Fields that it sets unless the user does. */
  recipe?: Readonly<Record<string, unknown>>;
}

export interface OpenRun {
  config: CovoteConfig;
  folder: RunFolder;
  /** Closes the folder; removes that of a new run that has nothing to show. */
  close(): void;
}

type Env = Readonly<Record<string, string | undefined>>;

export async function openRun(flags: RunFlags, env: Env, startedAt: Date): Promise<OpenRun> {
  return flags.resume === undefined
    ? await newRun(flags, env, startedAt)
    : await resumedRun(flags, flags.resume, env);
}

async function newRun(flags: RunFlags, env: Env, startedAt: Date): Promise<OpenRun> {
  const chosen = { ...flags.fixed, "run.seed": flags.seed, "training.steps": flags.steps };
  const config = compileFlags(flags, chosen, env, flags.recipe);
  await checkRun(config, flags, env);
  const folder = createRunFolder({
    root: flags.out,
    seed: config.run.seed,
    id: newId().slice(0, 6),
    config,
    startedAt,
  });
  return {
    config: compileFlags(flags, { ...chosen, "run.dir": folder.path }, env, flags.recipe),
    folder,
    close: () => {
      folder.close();
      if (!hasBegun(folder)) rmSync(folder.path, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

async function resumedRun(flags: RunFlags, dir: string, env: Env): Promise<OpenRun> {
  if (flags.seed !== undefined || flags.set !== undefined || flags.config !== undefined) {
    throw invalid("--resume", "takes the run's own configuration; only --steps may be given with it");
  }
  const file = join(dir, "config.json");
  if (!existsSync(file)) throw invalid("--resume", `${dir} is no run folder: it holds no config.json`);
  const afterStep = stepsTaken(dir);
  const overrides = { "training.steps": flags.steps };
  const config = compileFlags({ config: file }, overrides, env);
  if (config.nats.url?.includes(`${mask}@`)) {
    throw invalid("nats.url", "a run folder does not keep its user and password; give it as COVOTE_NATS_URL");
  }
  if (config.training.steps < afterStep) {
    throw invalid("--steps", `the run has taken ${afterStep} steps already, got ${config.training.steps}`);
  }
  await checkRun(config, flags, env);
  const folder = openRunFolder(dir, { afterStep });
  return {
    config: compileFlags({ config: file }, { ...overrides, "run.dir": folder.path }, env),
    folder,
    close: () => folder.close(),
  };
}

function stepsTaken(dir: string): number {
  const path = join(dir, "state", "current", "state.json");
  if (!existsSync(path)) return 0;
  try {
    const { step } = JSON.parse(readFileSync(path, "utf8")) as { step?: unknown };
    if (typeof step === "number" && Number.isInteger(step)) return step;
  } catch (cause) {
    throw damaged(path, cause);
  }
  throw damaged(path);
}

function damaged(path: string, cause?: unknown): CovoteError {
  const message = `--resume: ${path} is damaged; start a new run`;
  return new CovoteError("invalid_argument", message, { field: "--resume", cause });
}

async function checkRun(config: CovoteConfig, flags: RunFlags, env: Env): Promise<void> {
  // A learner joins the services later, with a metrics port of its own.
  const processes = flags.processes === true ? 4 + config.grm.workers + Number(scalesAsService(config)) : 1;
  await preflight(config, { roles: rolesOf(config), listen: "configured", processes, env });
  checkLearnable(config);
  const grammar = grammars[config.grm.grammar];
  const { role, prompts } = config.training;
  const isPanels = role === "grm" && prompts !== shippedCheckpoint;
  openRunPrompts(config, grammar, isPanels ? await panelRoomOf(config, grammar) : undefined);
  await openRejective(config, grammar);
  if (config.training.prompts === shippedCheckpoint) await checkWorld(config);
}

/** A policy without the demo world's words would be asked in unknown tokens, and could never answer. */
async function checkWorld(config: CovoteConfig): Promise<void> {
  const words = [...frameWords, ...recipients, ...places, ...requestable, ...cardWords];
  for (const role of rolesOf(config)) {
    // What servers know, they say themselves.
    if (engineOf(config, role).engine.kind !== "llama") continue;
    const { path, tokenizer } = await openConfiguredCheckpoint(config, role);
    const missing = unknownWords(tokenizer, words);
    if (missing.length === 0) continue;
    const field = role === "meta-rm" ? "metaRm.checkpoint" : `${role}.checkpoint`;
    throw invalid(
      field,
      `${path} does not know the words ${someOf(missing)} of the demo world; ` +
        "give a checkpoint that does, or your own queries as training.prompts",
    );
  }
}
