/** `--tls…` of the commands that call a running cluster. */
import type { ChannelCredentials } from "@grpc/grpc-js";
import type { Command } from "commander";
import type { CovoteConfig } from "../lib/host/covote-config.js";
import { type GrpcClientTls, openCallerCredentials } from "../lib/host/grpc-tls.js";

export interface TlsFlags {
  tls?: boolean;
  tlsCa?: string;
  tlsCert?: string;
  tlsKey?: string;
}

export function withTls(command: Command): Command {
  return command
    .option("--tls", "call over TLS, trusting the usual public authorities")
    .option("--tls-ca <file>", "call over TLS, trusting the authority of this PEM file")
    .option("--tls-cert <file>", "PEM file of the certificate to show")
    .option("--tls-key <file>", "PEM file of its private key");
}

/** Undefined when no flag asks for TLS. */
export async function tlsOfFlags(flags: TlsFlags): Promise<ChannelCredentials | undefined> {
  const { tls, tlsCa, tlsCert, tlsKey } = flags;
  if (tls !== true && tlsCa === undefined && tlsCert === undefined && tlsKey === undefined) return undefined;
  return openCallerCredentials(given({ caFile: tlsCa, certFile: tlsCert, keyFile: tlsKey }), flagOf);
}

/** For calling the services of the same configuration: their certificate is shown, their authority is trusted. */
export async function tlsOfConfig({ grpc }: CovoteConfig): Promise<ChannelCredentials | undefined> {
  const { certFile, keyFile, caFile } = grpc.tls;
  if (certFile === null) return undefined;
  return openCallerCredentials(given({ certFile, keyFile, caFile }), (name) => `grpc.tls.${name}`);
}

const flagOf = (name: keyof GrpcClientTls): string =>
  ({ caFile: "--tls-ca", certFile: "--tls-cert", keyFile: "--tls-key" })[name];

function given(files: Record<keyof GrpcClientTls, string | null | undefined>): GrpcClientTls {
  return Object.fromEntries(Object.entries(files).filter(([, path]) => path !== null && path !== undefined));
}
