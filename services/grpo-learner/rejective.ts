/** What rejective fine-tuning learns from, and how, by the configuration. */
import { CovoteError, invalid } from "../../lib/core/errors.js";
import type { Grammar } from "../../lib/grm/grammar.js";
import { withoutPrinciples } from "../../lib/grm/postcards-critique.js";
import type { CovoteConfig } from "../../lib/host/covote-config.js";
import { openConfiguredCheckpoint } from "../../lib/runtime/checkpoints.js";
import { isDemoCorpus, openCorpus } from "./corpus.js";
import type { RejectiveOptions } from "./method.js";

/** Nothing for any other method. Throws `invalid_argument` that names the setting. */
export async function openRejective(config: CovoteConfig, grammar: Grammar): Promise<RejectiveOptions> {
  const { method, rejection, principles, corpus: name, corpusShare } = config.training;
  if (method !== "rft") return {};
  if (principles && name === null) return { rejection };
  if (!principles && grammar.name !== "postcards") {
    throw invalid("training.principles", `cannot be cut off judgments of the grammar ${grammar.name}`);
  }
  if (name !== null && isDemoCorpus(name) && grammar.name !== "postcards") {
    throw invalid("training.corpus", `${name} has judgments of the grammar postcards, not ${grammar.name}`);
  }
  const { checkpoint, tokenizer } = await openConfiguredCheckpoint(config, "grm");
  const critique = tokenizer.idOf("critique");
  if (!principles && critique === undefined) {
    throw new CovoteError("internal", "a model of the postcards grammar without its words");
  }
  const cut = principles || critique === undefined ? {} : { learned: cutBefore(critique) };
  if (name === null) return { rejection, ...cut };
  const { maxPositions } = checkpoint.config;
  const opened = { name, field: "training.corpus", seed: config.run.seed, tokenizer, maxPositions };
  return {
    rejection,
    ...cut,
    corpus: { examples: openCorpus({ ...opened, principles }), share: corpusShare },
  };
}

function cutBefore(critique: number): (ids: readonly number[]) => readonly number[] {
  return (ids) => withoutPrinciples(ids, critique);
}
