/**
 * A copy of a configuration that may be shown: what could open a door is replaced by `***`.
 *
 * Masked are texts whose name ends in a word for a secret (`apiKey`, `nats_token`, `password`), and the user
 * part of URLs in any text. Numbers stay: `maxTokens` is no secret.
 */
const secretWords = new Set([
  "key",
  "token",
  "secret",
  "password",
  "passphrase",
  "credential",
  "credentials",
]);
export const mask = "***";

export function maskSecrets(value: unknown, name = ""): unknown {
  if (typeof value === "string") {
    if (value !== "" && secretWords.has(lastWord(name))) return mask;
    return value.replace(/([a-z][a-z0-9+.-]*:\/\/)[^/\s@]+@/gi, `$1${mask}@`);
  }
  if (Array.isArray(value)) return value.map((item) => maskSecrets(item, name));
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, maskSecrets(item, key)]));
  }
  return value;
}

/** `apiKey`, `api_key` and `API-KEY` all end in `key`. */
function lastWord(name: string): string {
  const words = name.replace(/([a-z0-9])([A-Z])/g, "$1 $2").split(/[^A-Za-z0-9]+/);
  return (words.filter((word) => word !== "").at(-1) ?? "").toLowerCase();
}
