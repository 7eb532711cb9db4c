/**
 * The planner against what a cluster has without it, in the simulator: throughput of a training as a share of what a
 * clairvoyant with free switching makes of the same budget. And what the simulator itself costs.
 *
 * Figures of the simulation are exact repeats for the same seed, on any machine; only the seconds are measured.
 */
import { type Comparison, compare } from "../lib/scaling/simulation/compare.js";
import { plannerController, plannerPools } from "../lib/scaling/simulation/controllers.js";
import { evenSplit } from "../lib/scaling/simulation/fluid.js";
import { scenario, scenarioNames } from "../lib/scaling/simulation/scenarios.js";
import { simulate } from "../lib/scaling/simulation/simulate.js";
import { type Bench, type Figure, figure } from "./bench.js";

const arms = ["ours", "static", "hpa", "keda"] as const;
/** Scenarios in which one split stays the best: there is nothing to win over it. */
const withoutDrift: readonly string[] = ["steady"];
const target = { share: 0.95, changes: 1, seconds: 60 };

export const benchScaling: Bench = async (say, { seeds, gpus, hours }) => {
  const results: (Comparison & { seed: number })[] = [];
  for (const size of gpus) {
    for (const name of scenarioNames) {
      for (const seed of seeds) {
        say(`${name}, ${size} GPUs, seed ${seed}`);
        const options = { scenario: scenario(name, { gpus: size, seed, hours }), seed, hours };
        results.push({ ...compare({ ...options, ...(size > 256 && { thorough: false }) }), seed });
      }
    }
  }
  say("24 hours of 1,024 GPUs");
  const day = simulateDay(seeds[0] ?? 1);
  const least = Math.min(...results.map(({ share }) => share.ours));
  const drifting = results.filter((each) => !withoutDrift.includes(each.scenario));
  const beaten = drifting.filter(({ share }) => share.ours > Math.max(share.static, share.hpa, share.keda));
  const steady = results.filter(({ scenario: name }) => name === "steady");
  const changes = Math.max(0, ...steady.map((each) => each.changesPerTenMinutes));
  return {
    title: "scaling: throughput as a share of the clairvoyant's; simulated, equal votes for all",
    figures: [
      ...rows(results),
      figure("least share of ours", least.toFixed(3), `≥ ${target.share}`, least >= target.share),
      figure(
        "runs with drift in which ours is the best",
        `${beaten.length} of ${drifting.length}`,
        "all",
        beaten.length === drifting.length,
      ),
      figure(
        "replica changes per 10 minutes, steady, first hour left out",
        changes.toFixed(2),
        `≤ ${target.changes}`,
        changes <= target.changes,
      ),
      figure(
        `seconds to simulate 24 h of 1,024 GPUs (${day.events.toLocaleString("en-US")} events)`,
        day.seconds.toFixed(1),
        `≤ ${target.seconds}`,
        day.seconds <= target.seconds,
      ),
    ],
    json: {
      scaling_hours: hours,
      scaling_scenarios: results.map((each) => ({
        scenario: each.scenario,
        gpus: each.gpus,
        seed: each.seed,
        steps: each.steps,
        clairvoyant_steps_per_hour: rounded(each.clairvoyantStepsPerHour, 3),
        ...Object.fromEntries(arms.map((arm) => [arm, rounded(each.share[arm], 4)])),
        static_split: each.staticSplit,
        replica_changes_per_10_min: rounded(each.changesPerTenMinutes, 3),
      })),
      scaling_least_share: rounded(least, 4),
      scaling_best_with_drift: beaten.length,
      scaling_runs_with_drift: drifting.length,
      scaling_steady_changes_per_10_min: rounded(changes, 3),
      scaling_simulated_24h_1024_gpus_s: rounded(day.seconds, 2),
      scaling_simulated_24h_1024_gpus_events: day.events,
    },
  };
};

function rows(results: readonly Comparison[]): Figure[] {
  const keys = [...new Set(results.map(({ scenario: name, gpus }) => `${name}, ${gpus} GPUs`))];
  return keys.map((key) => {
    const same = results.filter(({ scenario: name, gpus }) => `${name}, ${gpus} GPUs` === key);
    const least = (arm: (typeof arms)[number]): string =>
      Math.min(...same.map(({ share }) => share[arm])).toFixed(3);
    const value = arms.map((arm) => `${arm} ${least(arm)}`).join("  ");
    return figure(same.length > 1 ? `${key}, least of ${same.length} seeds` : key, value);
  });
}

function simulateDay(seed: number): { seconds: number; events: number } {
  const { model } = scenario("steady", { gpus: 1024, seed, hours: 24 });
  const k = { min: model.k, max: model.k, preferred: model.k };
  const startedMs = performance.now();
  const { events } = simulate({
    model,
    controller: plannerController({ pools: plannerPools(model), k }),
    start: evenSplit(model),
    seed,
    steps: Number.POSITIVE_INFINITY,
    untilS: 24 * 3600,
  });
  return { seconds: (performance.now() - startedMs) / 1000, events };
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
