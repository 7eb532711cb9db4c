import { headers } from "@nats-io/transport-node";
import { describe, expect, test } from "vitest";
import { MessageHeaders } from "../../lib/bus/message-headers.js";

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

describe("headers of a message that goes out", () => {
  test("are the bytes that the client's own would be", () => {
    const client = headers();
    client.set("Nats-Msg-Id", "vote 7");
    client.set("traceparent", "00-ab-cd-01");
    const ours = new MessageHeaders().set("Nats-Msg-Id", " vote 7 ").set("traceparent", "00-ab-cd-01");
    expect(text(ours.encode())).toBe(text((client as unknown as MessageHeaders).encode()));
  });

  test("leave out what has no value, and refuse a value that would begin another header", () => {
    const none = new MessageHeaders().set("traceparent", "").set("Nats-Msg-Id", undefined);
    expect(text(none.encode())).toBe("NATS/1.0\r\n\r\n");
    expect(() => none.set("reason", "a\r\nNats-Msg-Id: b")).toThrow(/reason/);
  });
});
