/** The section `nats` of the configuration: which NATS, and who covote is to it. */
import { z } from "zod";

function secretFile(text: string) {
  return z.string().min(1).nullable().default(null).describe(text);
}

const natsTls = z.strictObject({
  caFile: secretFile(
    "PEM file of the authority that signed the certificate of NATS; null trusts the usual public ones.",
  ),
  certFile: secretFile("PEM file of the certificate to show to a NATS that demands one; null shows none."),
  keyFile: secretFile("PEM file of the private key of nats.tls.certFile."),
});

export const natsSection = z.strictObject({
  url: z
    .string()
    .regex(/^(nats|tls|ws|wss):\/\/\S+$/, { error: "must be a URL such as nats://127.0.0.1:4222" })
    .nullable()
    .default(null)
    .meta({ secret: true })
    .describe(
      "NATS to connect to; null starts a nats-server of this run's own on a free port. tls:// refuses a NATS without TLS.",
    ),
  credsFile: secretFile("Credentials file (JWT and nkey seed, as nsc writes it) for nats.url; null is none."),
  nkeySeedFile: secretFile("File that holds the nkey seed of the user for nats.url; null is none."),
  inboxPrefix: z
    .string()
    .regex(/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/, {
      error: "must be words of A-Z a-z 0-9 _ - joined by dots",
    })
    .nullable()
    .default(null)
    .describe("Prefix of reply subjects, for users that may not listen on all of _INBOX; null is _INBOX."),
  tls: natsTls.prefault({}),
  provision: z
    .boolean()
    .default(true)
    .describe(
      "Make streams, consumers and buckets that are missing; false waits for those that covote nats provision or the nats-steward makes.",
    ),
  replicas: z
    .int()
    .min(1)
    .max(5)
    .default(1)
    .describe("Copies of each stream and bucket; more than 1 needs a NATS cluster of as many servers."),
  connectTimeoutMs: z
    .int()
    .min(100)
    .max(600_000)
    .default(10_000)
    .describe("How long to wait for NATS at the start, in milliseconds."),
  ackWaitMs: z
    .int()
    .min(500)
    .max(3_600_000)
    .default(5000)
    .describe(
      "Work of a process that has been silent for so long goes to another one, in milliseconds; the same everywhere.",
    ),
  outageTimeoutMs: z
    .int()
    .min(1000)
    .max(86_400_000)
    .default(60_000)
    .describe("How long NATS may be away while a service runs before the service gives up, in milliseconds."),
});

/** Values that are possible alone and impossible together, each with the path of its field. */
export function natsContradictions({
  url,
  credsFile,
  nkeySeedFile,
  tls,
}: Pick<z.output<typeof natsSection>, "url" | "credsFile" | "nkeySeedFile" | "tls">): [
  path: string,
  problem: string,
][] {
  const found: [string, string][] = [];
  const files = {
    credsFile,
    nkeySeedFile,
    "tls.caFile": tls.caFile,
    "tls.certFile": tls.certFile,
    "tls.keyFile": tls.keyFile,
  };
  for (const [name, file] of Object.entries(files)) {
    if (url !== null || file === null) continue;
    found.push([`nats.${name}`, "needs nats.url; the nats-server that covote starts itself asks for none"]);
  }
  if (credsFile !== null && nkeySeedFile !== null) {
    found.push(["nats.nkeySeedFile", "cannot go with nats.credsFile; give one or the other"]);
  }
  if (tls.certFile !== null && tls.keyFile === null) {
    found.push(["nats.tls.keyFile", "is missing; give the private key of nats.tls.certFile"]);
  }
  if (tls.certFile === null && tls.keyFile !== null) {
    found.push(["nats.tls.certFile", "is missing; give the certificate of nats.tls.keyFile"]);
  }
  return found;
}
