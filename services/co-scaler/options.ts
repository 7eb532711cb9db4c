/** A co-scaler's options, from the configuration. Throws `invalid_argument` that names the field. */
import type { CovoteConfig } from "../../lib/host/covote-config.js";
import { perPool } from "../../lib/scaling/observation.js";
import { type PlannerOptions, plannerSettings } from "../../lib/scaling/settings.js";
import type { CoScalerOptions } from "./service.js";

export function coScalerOptions(config: CovoteConfig, name: string): CoScalerOptions {
  const { scaling, judging, training } = config;
  const { responsesPerStep, intervalMs, history, budgetGpus, dryRun } = scaling;
  const planner = plannerOptions(config);
  plannerSettings(planner);
  return {
    ...{ name, intervalMs, history, planner, budgetGpus, dryRun },
    observing: {
      responsesPerStep,
      groupSize: training.groupSize,
      votesPerBallot: judging.votesPerBallot,
    },
    votes: { configured: planner.k.preferred, enabled: scaling.votes.enabled },
  };
}

function plannerOptions({ scaling, judging }: CovoteConfig): PlannerOptions {
  const { votes, hysteresis, maxChange, cooldownUpMs, cooldownDownMs } = scaling;
  const { switchMs, horizonMs, staleAfterMs } = scaling;
  const preferred = votes.enabled ? Math.min(votes.max, Math.max(votes.min, judging.votes)) : judging.votes;
  return {
    ...{ hysteresis, maxChange, cooldownUpMs, cooldownDownMs, switchMs, horizonMs, staleAfterMs },
    pools: perPool((pool) => {
      const { min, max, gpusPerReplica } = scaling.pools[pool];
      return { min, max, gpusPerReplica };
    }),
    k: votes.enabled
      ? { min: votes.min, max: votes.max, preferred }
      : { min: preferred, max: preferred, preferred },
  };
}
