/** What happens to the actors of a process. */
import type { DeadLetterReason } from "../actor/actor.js";
import type { ActorSystem } from "../actor/system.js";
import type { Metrics } from "../host/metrics.js";

const reasons = ["stopped", "failed"] as const satisfies readonly DeadLetterReason[];

export function actorMetrics(metrics: Metrics, system: Pick<ActorSystem, "events" | "size">): void {
  const restarts = metrics.counter({
    name: "covote_actor_restarts_total",
    help: "Actors that were started anew after a failure",
  });
  const failures = metrics.counter({
    name: "covote_actor_failures_total",
    help: "Failures of actors, whatever became of them",
  });
  const letters = metrics.counter({
    name: "covote_actor_dead_letters_total",
    help: "Messages that no actor handled: it had stopped, or failed over them",
    labels: { reason: reasons },
  });
  const size = metrics.gauge({ name: "covote_actors", help: "Actors of the top level that live" });
  metrics.onScrape(() => size.set(system.size));
  system.events.subscribe((event) => {
    if (event.type === "restarted") restarts.inc(1);
    else if (event.type === "failed") failures.inc(1);
    else if (event.type === "dead-letter") letters.inc(1, { reason: event.reason });
  });
}
