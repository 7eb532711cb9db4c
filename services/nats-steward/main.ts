import { runServiceProcess } from "../../lib/runtime/service-process.js";
import { mountNatsSteward, serviceName } from "./mount.js";

await runServiceProcess({ name: serviceName, args: process.argv.slice(2), env: process.env }, (runtime) => {
  mountNatsSteward(runtime);
  return undefined;
});
