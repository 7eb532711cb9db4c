import { runServiceProcess } from "../../lib/runtime/service-process.js";
import { mountPolicySampler, serviceName } from "./mount.js";

await runServiceProcess({ name: serviceName, args: process.argv.slice(2), env: process.env }, (runtime) => {
  mountPolicySampler(runtime);
  return undefined;
});
