/**
 * TLS of gRPC: certificates from PEM files, for servers and for callers.
 *
 * - A server with an authority's certificate serves only callers whose certificate that authority signed.
 * - What cannot be read, or does not fit together, is one line that names the setting, at the start.
 * - Servers look at their files again every minute: renewed certificates are taken up for new connections. Files that
 *   are half written then, or do not fit, are left alone, and the last good ones go on serving.
 */
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import { type ChannelCredentials, credentials, experimental, type ServerCredentials } from "@grpc/grpc-js";
import type { Clock, Timer } from "../core/clock.js";
import { CovoteError } from "../core/errors.js";

/** Files of a server; `caFile` demands a certificate of callers. */
export interface GrpcServerTls {
  certFile: string;
  keyFile: string;
  caFile?: string;
}

/** Files of a caller; without `caFile` the usual public authorities are trusted. */
export interface GrpcClientTls {
  caFile?: string;
  certFile?: string;
  keyFile?: string;
}

const refreshMs = 60_000;

interface Certificates {
  cert: Buffer;
  key: Buffer;
  ca: Buffer | undefined;
}

export interface GrpcServerIdentity {
  credentials: ServerCredentials;
  /** Looks at the files no more. */
  close(): void;
}

export async function openServerIdentity(
  tls: GrpcServerTls,
  clock: Clock,
  refreshed: (cause: CovoteError) => void,
): Promise<GrpcServerIdentity> {
  let current = await readCertificates(tls);
  const caListeners = new Set<experimental.CaCertificateUpdateListener>();
  const identityListeners = new Set<experimental.IdentityCertificateUpdateListener>();
  const tellCa = (listener: experimental.CaCertificateUpdateListener): void =>
    listener(current.ca === undefined ? null : { caCertificate: current.ca });
  const tellIdentity = (listener: experimental.IdentityCertificateUpdateListener): void =>
    listener({ certificate: current.cert, privateKey: current.key });
  // The server listens first and attaches itself to the credentials afterwards: it would miss what it is told at once.
  const provider: experimental.CertificateProvider = {
    addCaCertificateListener: (listener) => {
      caListeners.add(listener);
      process.nextTick(tellCa, listener);
    },
    removeCaCertificateListener: (listener) => void caListeners.delete(listener),
    addIdentityCertificateListener: (listener) => {
      identityListeners.add(listener);
      process.nextTick(tellIdentity, listener);
    },
    removeIdentityCertificateListener: (listener) => void identityListeners.delete(listener),
  };
  const refresh = async (): Promise<void> => {
    try {
      const next = await readCertificates(tls);
      if (same(current, next)) return;
      current = next;
      for (const listener of caListeners) tellCa(listener);
      for (const listener of identityListeners) tellIdentity(listener);
    } catch (thrown) {
      refreshed(CovoteError.from(thrown));
    }
  };
  const timer: Timer = clock.every(refreshMs, () => void refresh(), { background: true });
  const demands = tls.caFile !== undefined;
  return {
    credentials: experimental.createCertificateProviderServerCredentials(
      provider,
      demands ? provider : null,
      demands,
    ),
    close: () => timer.cancel(),
  };
}

/** `fieldOf`: how the settings are called where the caller gave them, `--tls-ca` or `grpc.tls.caFile`. */
export async function openCallerCredentials(
  tls: GrpcClientTls,
  fieldOf: (name: keyof GrpcClientTls) => string,
): Promise<ChannelCredentials> {
  const read = async (name: keyof GrpcClientTls): Promise<Buffer | null> => {
    const path = tls[name];
    return path === undefined ? null : await readPem(fieldOf(name), path);
  };
  const [ca, cert, key] = await Promise.all([read("caFile"), read("certFile"), read("keyFile")]);
  if ((cert === null) !== (key === null)) {
    const field = fieldOf(cert === null ? "certFile" : "keyFile");
    throw bad(field, `is missing; give it with ${fieldOf(cert === null ? "keyFile" : "certFile")}`);
  }
  if (ca !== null) checkFit(fieldOf("caFile"), { ca });
  if (cert !== null && key !== null) checkFit(fieldOf("keyFile"), { cert, key });
  return credentials.createSsl(ca, key, cert);
}

async function readCertificates({ certFile, keyFile, caFile }: GrpcServerTls): Promise<Certificates> {
  const [cert, key, ca] = await Promise.all([
    readPem("grpc.tls.certFile", certFile),
    readPem("grpc.tls.keyFile", keyFile),
    caFile === undefined ? undefined : readPem("grpc.tls.caFile", caFile),
  ]);
  checkFit("grpc.tls.certFile", { cert });
  checkFit("grpc.tls.keyFile", { cert, key });
  if (ca !== undefined) checkFit("grpc.tls.caFile", { ca });
  return { cert, key, ca };
}

async function readPem(field: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw bad(
      field,
      `cannot read ${path} (${why}); give the path of a PEM file that this user may read`,
      cause,
    );
  }
}

/** A context is only made of files that are what they should be. */
function checkFit(field: string, files: { cert?: Buffer; key?: Buffer; ca?: Buffer }): void {
  try {
    createSecureContext(files);
    if (files.ca !== undefined && !files.ca.includes("-----BEGIN")) throw new Error("no PEM");
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    const why = /values mismatch/.test(text)
      ? "does not belong to the certificate"
      : `is no PEM file of one (${text})`;
    throw bad(field, `${why}; give the right file`, cause);
  }
}

function same(a: Certificates, b: Certificates): boolean {
  return a.cert.equals(b.cert) && a.key.equals(b.key) && (a.ca?.equals(b.ca ?? Buffer.alloc(0)) ?? true);
}

function bad(field: string, problem: string, cause?: unknown): CovoteError {
  return new CovoteError("invalid_argument", `${field}: ${problem}`, { field, cause });
}
