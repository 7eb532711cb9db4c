import { expect, test } from "vitest";
import { cannotListen, formatAddress, parseListenAddress } from "../../../lib/host/listen.js";

test.each([
  ["127.0.0.1:50051", "127.0.0.1", 50051],
  ["localhost:0", "localhost", 0],
  ["[::1]:8080", "::1", 8080],
])("%s is an address, and is written the same way", (text, host, port) => {
  const address = parseListenAddress("grpc.address", text);
  expect(address).toEqual({ host, port });
  expect(formatAddress(address)).toBe(text);
});

test.each(["", "50051", ":50051", "host:", "host:x", "host:65536", "::1:80", "a b:1", "host:-1"])(
  "%j is none",
  (text) => {
    expect(() => parseListenAddress("grpc.address", text)).toThrow(/^grpc\.address: must be host:port/);
  },
);

test.each([
  [
    "listen EADDRINUSE: address already in use",
    /is in use; stop the process that uses it, or choose another port/,
  ],
  ["listen EACCES: permission denied", /not allowed to listen on .*; choose a port above 1023/],
  ["listen EADDRNOTAVAIL", /is not an address of this machine/],
  ["something else", /cannot listen on 127\.0\.0\.1:80: something else/],
])("%s becomes one line with the fix", (cause, line) => {
  const error = cannotListen("metrics.port", { host: "127.0.0.1", port: 80 }, new Error(cause));
  expect(error.message).toMatch(/^metrics\.port: /);
  expect(error.message).toMatch(line);
  expect([error.code, error.field]).toEqual(["failed_precondition", "metrics.port"]);
});
