/** The section `grpc` of the configuration: where services answer over gRPC, and who may call. */
import { z } from "zod";
import { isListenAddress } from "./listen.js";

function pemFile(text: string) {
  return z.string().min(1).nullable().default(null).describe(text);
}

const grpcTls = z.strictObject({
  certFile: pemFile("PEM file of the certificate that gRPC servers show; null serves without TLS."),
  keyFile: pemFile("PEM file of the private key of grpc.tls.certFile."),
  caFile: pemFile(
    "PEM file of the authority of callers; with it only callers with a certificate of that authority are served.",
  ),
});

export const grpcSection = z.strictObject({
  address: z
    .string()
    .refine(isListenAddress, { error: (issue) => `must be host:port, got ${JSON.stringify(issue.input)}` })
    .default("127.0.0.1:50051")
    .describe("Where the reward service listens for gRPC, host:port; port 0 takes a free one."),
  maxMessageBytes: z
    .int()
    .min(65_536)
    .max(1_073_741_824)
    .default(16_777_216)
    .describe("Largest gRPC message, both ways, in bytes."),
  reflection: z.boolean().default(true).describe("Serve gRPC reflection, for grpcurl and the like."),
  tls: grpcTls.prefault({}),
});

/** Values that are possible alone and impossible together, each with the path of its field. */
export function grpcContradictions({
  tls,
}: Pick<z.output<typeof grpcSection>, "tls">): [path: string, problem: string][] {
  const { certFile, keyFile, caFile } = tls;
  if (certFile !== null && keyFile === null) {
    return [["grpc.tls.keyFile", "is missing; give the private key of grpc.tls.certFile"]];
  }
  if (certFile === null && keyFile !== null) {
    return [["grpc.tls.certFile", "is missing; give the certificate of grpc.tls.keyFile"]];
  }
  if (caFile !== null && certFile === null) {
    return [["grpc.tls.certFile", "is missing; callers can be told apart only over TLS (grpc.tls.caFile)"]];
  }
  return [];
}
