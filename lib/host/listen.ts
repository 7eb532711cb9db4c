/** Addresses that servers listen on, and the one line that says why one cannot be listened on. */
import { CovoteError, invalid } from "../core/errors.js";

export interface ListenAddress {
  host: string;
  /** 0 lets the system choose a free one. */
  port: number;
}

/** `host:port`, with IPv6 addresses in brackets. */
export function parseListenAddress(field: string, text: string): ListenAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    throw invalid(field, `must be host:port with a port of 0 to 65535, got ${JSON.stringify(text)}`);
  }
  return { host: (match[1] ?? match[2]) as string, port };
}

/** Whether `parseListenAddress` takes it. */
export function isListenAddress(text: string): boolean {
  try {
    parseListenAddress("address", text);
    return true;
  } catch {
    return false;
  }
}

export function formatAddress(address: ListenAddress): string {
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** `field` is the setting that names the address, as the user wrote it. */
export function cannotListen(field: string, address: ListenAddress, cause: unknown): CovoteError {
  const text = cause instanceof Error ? cause.message : String(cause);
  const at = formatAddress(address);
  const detail = { field, cause };
  if (text.includes("EADDRINUSE")) {
    const fix = "stop the process that uses it, or choose another port (0 takes a free one)";
    return new CovoteError("failed_precondition", `${field}: ${at} is in use; ${fix}`, detail);
  }
  if (text.includes("EACCES")) {
    const fix = "choose a port above 1023";
    return new CovoteError("failed_precondition", `${field}: not allowed to listen on ${at}; ${fix}`, detail);
  }
  if (/EADDRNOTAVAIL|ENOTFOUND|EAI_AGAIN|resolution/i.test(text)) {
    const fix = "use an address of this machine, such as 127.0.0.1 or 0.0.0.0";
    return new CovoteError(
      "failed_precondition",
      `${field}: ${at} is not an address of this machine; ${fix}`,
      detail,
    );
  }
  return new CovoteError("failed_precondition", `${field}: cannot listen on ${at}: ${text}`, detail);
}
