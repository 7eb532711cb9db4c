/**
 * The configured engine of each role: the small Llama on a checkpoint of this machine, or servers. What can be known to
 * be wrong before a server is asked (a key that is nowhere, a tokenizer that cannot be read) is one line that names the
 * setting.
 */
import { readFile } from "node:fs/promises";
import type { Clock } from "../core/clock.js";
import { CovoteError, invalid } from "../core/errors.js";
import type { Random } from "../core/random.js";
import type { GenerativeEngine, ScalarEngine } from "../engine/engine.js";
import { openLlamaEngine } from "../engine/llama.js";
import { openLlamaScorer } from "../engine/llama-scorer.js";
import { openOpenAiEngine } from "../engine/openai.js";
import type { EndpointsOptions } from "../engine/openai-endpoint.js";
import { openOpenAiScorer } from "../engine/openai-scalar.js";
import { grammars } from "../grm/grammar.js";
import type { CovoteConfig } from "../host/covote-config.js";
import type { EngineConfig } from "../host/engine-config.js";
import type { Host } from "../host/host.js";
import { openTokenizerFiles } from "../llama/checkpoint.js";
import { createTokenizer, type LlamaTokenizer } from "../llama/tokenizer.js";
import { type CheckpointRole, openConfiguredCheckpoint } from "./checkpoints.js";
import { poolMeter, watchEndpoints } from "./endpoint-metrics.js";

export type GenerativeRole = Exclude<CheckpointRole, "meta-rm">;

export interface EngineContext {
  config: CovoteConfig;
  clock: Clock;
  host: Host;
  random: Random;
  env: Readonly<Record<string, string | undefined>>;
}

/** Prompt tokens that any model needs room for, besides what it generates. */
const shortestPrompt = 8;

export function engineOf(
  config: CovoteConfig,
  role: CheckpointRole,
): { field: string; engine: EngineConfig } {
  switch (role) {
    case "policy":
      return { field: "policy.engine", engine: config.policy.engine };
    case "grm":
      return { field: "grm.engine", engine: config.grm.engine };
    case "meta-rm":
      return { field: "metaRm.engine", engine: config.metaRm.engine };
  }
}

/** What can be checked of a role's engine without starting it. */
export async function checkEngine(
  config: CovoteConfig,
  role: CheckpointRole,
  env: EngineContext["env"],
): Promise<void> {
  const { field, engine } = engineOf(config, role);
  if (engine.kind === "llama") await openConfiguredCheckpoint(config, role);
  else await filesOf(field, engine, env);
}

export async function openConfiguredEngine(
  context: EngineContext,
  role: GenerativeRole,
  service: string,
): Promise<GenerativeEngine> {
  const { config, host } = context;
  const { slots } = config[role];
  if (config[role].engine.kind === "llama") {
    const { path } = await openConfiguredCheckpoint(config, role);
    return openLlamaEngine({ checkpoint: path, slots });
  }
  const { field } = engineOf(config, role);
  const { concurrency, retryShare, hedgeShare, maxPositions } = config[role].engine;
  const metrics = host.metrics.forService(service);
  const engine = await openOpenAiEngine({
    ...(await endpointsOf(context, role, service)),
    ...{ concurrency, retryShare, hedgeShare, maxPositions },
    // A policy's samples may be for training; votes never are.
    tokens: role === "policy",
    meter: poolMeter(metrics),
  });
  watchEndpoints(metrics, engine);
  const tokens = role === "policy" ? config.policy.maxTokens : judgmentTokens(config);
  if (tokens + shortestPrompt > engine.maxPositions) {
    await engine.close();
    throw invalid(
      field,
      `its model has ${engine.maxPositions} positions, too few for a prompt and ${tokens} tokens of an answer; ` +
        `give a model with a longer context, or set ${field}.maxPositions when it has more`,
    );
  }
  return engine;
}

export async function openConfiguredScorer(context: EngineContext, service: string): Promise<ScalarEngine> {
  const { config, host } = context;
  if (config.metaRm.engine.kind === "llama") {
    const { path } = await openConfiguredCheckpoint(config, "meta-rm");
    return openLlamaScorer({ checkpoint: path });
  }
  const { concurrency, retryShare, hedgeShare, route } = config.metaRm.engine;
  const metrics = host.metrics.forService(service);
  const scorer = await openOpenAiScorer({
    ...(await endpointsOf(context, "meta-rm", service)),
    ...{ concurrency, retryShare, hedgeShare, route },
    meter: poolMeter(metrics),
  });
  watchEndpoints(metrics, scorer);
  return scorer;
}

function judgmentTokens({ grm }: CovoteConfig): number {
  return Math.min(grammars[grm.grammar].maxTokens(1), grm.maxTokens ?? Number.POSITIVE_INFINITY);
}

async function endpointsOf(
  { config, clock, host, random, env }: EngineContext,
  role: CheckpointRole,
  service: string,
): Promise<EndpointsOptions & { tokenizer: LlamaTokenizer | null }> {
  const { field, engine } = engineOf(config, role);
  const { endpoints, model, server, connectTimeoutMs, requestTimeoutMs, startTimeoutMs } = engine;
  return {
    ...{ field, endpoints, model, server, connectTimeoutMs, requestTimeoutMs, startTimeoutMs },
    ...(await filesOf(field, engine, env)),
    ...{ clock, random, log: host.log.child({ service }) },
  };
}

/** What a section of an engine names on this machine. */
async function filesOf(field: string, engine: EngineConfig, env: EngineContext["env"]) {
  const { apiKeyEnv, apiKeyFile, caFile, tokenizer } = engine;
  let apiKey: string | null = null;
  if (apiKeyEnv !== null) {
    apiKey = keyIn(env[apiKeyEnv] ?? "", `${field}.apiKeyEnv`, `the variable ${apiKeyEnv}`);
  } else if (apiKeyFile !== null) {
    apiKey = keyIn(await textOf(`${field}.apiKeyFile`, apiKeyFile), `${field}.apiKeyFile`, apiKeyFile);
  }
  return {
    apiKey,
    ca: caFile === null ? null : await textOf(`${field}.caFile`, caFile),
    tokenizer: tokenizer === null ? null : await tokenizerOf(`${field}.tokenizer`, tokenizer),
  };
}

/** Its text is in no message, whatever is wrong with it. */
function keyIn(text: string, field: string, where: string): string {
  const key = text.trim();
  if (key === "") throw invalid(field, `${where} holds no API key; set it`);
  if (!/^[\x21-\x7e]+$/.test(key))
    throw invalid(field, `${where} holds more than one word; an API key is one`);
  return key;
}

async function textOf(field: string, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new CovoteError("invalid_argument", `${field}: cannot read ${path} (${why})`, { field, cause });
  }
}

async function tokenizerOf(field: string, dir: string): Promise<LlamaTokenizer> {
  try {
    const tokenizer = createTokenizer(await openTokenizerFiles(dir));
    tokenizer.chat([{ role: "user", content: "." }]);
    return tokenizer;
  } catch (thrown) {
    const { code, message } = CovoteError.from(thrown);
    throw new CovoteError(code, `${field}: ${message}`, { field, cause: thrown });
  }
}
