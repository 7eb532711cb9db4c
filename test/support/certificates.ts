/** Certificates for tests, made by the openssl command. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";

/** Why there can be none here; undefined when there can. */
export const noOpenssl = ((): string | undefined => {
  try {
    execFileSync("openssl", ["version"], { stdio: "ignore" });
    return undefined;
  } catch {
    return "needs the openssl command to make certificates";
  }
})();

export interface CertificateFiles {
  cert: string;
  key: string;
}

/** A self-signed certificate for this machine, as PEM files `<name>.crt` and `<name>.key` in the folder. */
export function selfSigned(
  folder: string,
  name: string,
  names = "IP:127.0.0.1,DNS:localhost",
): CertificateFiles {
  const files = { cert: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
  execFileSync(
    "openssl",
    [
      ...["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
      ...["-subj", `/CN=${name}`, "-addext", `subjectAltName=${names}`],
      ...["-addext", "extendedKeyUsage=serverAuth,clientAuth"],
      ...["-keyout", files.key, "-out", files.cert],
    ],
    { stdio: "ignore" },
  );
  return files;
}
