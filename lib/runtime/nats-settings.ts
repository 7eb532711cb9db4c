/** How a covote process gets into the configured NATS: its files of credentials, and the prefix of its replies. */
import type { ConnectionSettings } from "../bus/connection.js";
import type { BusOptions } from "../bus/open-bus.js";
import { withAckWait } from "../bus/queues.js";
import type { CovoteConfig } from "../host/covote-config.js";

/** What `openBus` and `openConnection` need besides the address. A nats-server that covote started asks for none. */
export function natsAccess({
  nats,
}: Pick<CovoteConfig, "nats">): Pick<
  ConnectionSettings,
  "credsFile" | "nkeySeedFile" | "tls" | "inboxPrefix"
> {
  const { inboxPrefix, credsFile, nkeySeedFile } = nats;
  const tls = given(nats.tls);
  return {
    ...given({ inboxPrefix }),
    ...(nats.url === null ? {} : given({ credsFile, nkeySeedFile })),
    ...(nats.url === null || Object.keys(tls).length === 0 ? {} : { tls }),
  };
}

/** What all connections of one cluster have in common; names, ids and randomness are each one's own. */
export function busSettings(config: Pick<CovoteConfig, "cluster" | "nats">, natsUrl: string) {
  const { ackWaitMs, connectTimeoutMs, provision, replicas } = config.nats;
  return {
    servers: natsUrl,
    cluster: config.cluster.name,
    connectTimeoutMs,
    queues: withAckWait(ackWaitMs),
    topology: provision ? "own" : "use",
    replicas,
    ...natsAccess(config),
  } satisfies Partial<BusOptions>;
}

function given<T extends Record<string, string | null>>(values: T): { [K in keyof T]?: string } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null)) as {
    [K in keyof T]?: string;
  };
}
