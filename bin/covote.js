#!/usr/bin/env -S node --max-semi-space-size=4 --v8-pool-size=1 --disable-warning=DEP0123
// DEP0123: a cluster may be called by a number over TLS, which the gRPC client hands on as a name.
import { existsSync } from "node:fs";

const main = new URL("../dist/cli/main.js", import.meta.url);
if (existsSync(main)) {
  await import(main.href);
} else {
  console.error("covote: not compiled yet; run `make setup` in the checkout first");
  process.exitCode = 2;
}
