/**
 * The steward of a cluster's NATS: the one process that may make streams, consumers and buckets. It makes them at the
 * start and again when a server has lost them, and sweeps stranded items into the dead letters; all of that is the bus's
 * own doing where `nats.provision` is true.
 */
import { provisionStores } from "../../lib/bus/provisioning.js";
import { invalid } from "../../lib/core/errors.js";
import { runIdOf } from "../../lib/runtime/run-id.js";
import type { Runtime } from "../../lib/runtime/runtime.js";

export const serviceName = "nats-steward";

export function mountNatsSteward(runtime: Runtime): void {
  const { config, host } = runtime;
  if (!config.nats.provision) {
    throw invalid("nats.provision", "must be true for the nats-steward, which makes what all others need");
  }
  runtime.mount(serviceName, async () => {
    const bus = runtime.bus();
    const log = host.log.child({ service: serviceName });
    const learners = config.run.dir === null ? [] : [runIdOf(config)];
    const provision = async (): Promise<void> => {
      await provisionStores(bus, learners);
      log.info({ learners }, "streams, consumers and buckets are there");
    };
    await provision();
    const unlisten = bus.events.subscribe((event) => {
      if (event.type !== "queue-recreated") return;
      provision().catch((error: unknown) => log.warn({ error }, "could not make what was lost"));
    });
    return {
      stop: async () => unlisten(),
    };
  });
}
