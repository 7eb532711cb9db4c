import { runServiceProcess } from "../../lib/runtime/service-process.js";
import { mountGrmWorker, serviceName } from "./mount.js";

await runServiceProcess({ name: serviceName, args: process.argv.slice(2), env: process.env }, (runtime) => {
  mountGrmWorker(runtime, { name: serviceName });
  return undefined;
});
