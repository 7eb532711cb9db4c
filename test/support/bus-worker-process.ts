/** A worker in a process of its own, to be killed: `URL CLUSTER CONCURRENCY`. Publishes the id of each item. */
import { openBus } from "../../lib/bus/open-bus.js";
import { createRandom } from "../../lib/core/random.js";

const [servers = "", cluster = "", concurrency = "1"] = process.argv.slice(2);
const bus = await openBus({ servers, cluster, name: "victim", random: createRandom(2), topology: "use" });
bus.work("rollouts", { concurrency: Number(concurrency) }, async (item) => {
  bus.publish(bus.subjects.of("results"), new TextEncoder().encode(item.id));
  await new Promise((resolve) => setTimeout(resolve, 20));
});
