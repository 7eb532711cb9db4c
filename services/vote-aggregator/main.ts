import { runServiceProcess } from "../../lib/runtime/service-process.js";
import { mountVoteAggregator, serviceName } from "./mount.js";

await runServiceProcess({ name: serviceName, args: process.argv.slice(2), env: process.env }, (runtime) => {
  mountVoteAggregator(runtime);
  return undefined;
});
