/**
 * Keys for the services of a cluster: a folder with the seed of each, a Kubernetes Secret that holds them, and the values
 * of the chart that name their public halves. A folder that has something in it is refused: seeds are not written over.
 */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { nkeys } from "@nats-io/nats-core";
import { stringify } from "yaml";
import { natsUsers } from "../../lib/bus/permissions.js";
import { CovoteError } from "../../lib/core/errors.js";

export interface MadeKeys {
  folder: string;
  /** Public key by service. */
  nkeys: Record<string, string>;
}

export function makeKeys(folder: string, secretName: string): MadeKeys {
  if (existsSync(folder) && readdirSync(folder).length > 0) {
    throw new CovoteError(
      "already_exists",
      `--out: ${folder} is not empty; give a new folder, or empty it yourself`,
      {
        field: "--out",
      },
    );
  }
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const pairs = natsUsers.map((user) => ({ user, pair: nkeys.createUser() }));
  const seeds = pairs.map(
    ({ user, pair }) => [`${user}.nk`, `${Buffer.from(pair.getSeed()).toString()}\n`] as const,
  );
  const publicKeys = Object.fromEntries(pairs.map(({ user, pair }) => [user, pair.getPublicKey()]));
  const secret = {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: secretName },
    type: "Opaque",
    stringData: Object.fromEntries(seeds),
  };
  const values = { bus: { auth: { enabled: true, existingSecret: secretName, nkeys: publicKeys } } };
  const write = (name: string, text: string): void =>
    writeFileSync(join(folder, name), text, { mode: 0o600 });
  for (const [name, seed] of seeds) write(name, seed);
  write("secret.yaml", stringify(secret));
  write("values.yaml", stringify(values));
  return { folder, nkeys: publicKeys };
}
