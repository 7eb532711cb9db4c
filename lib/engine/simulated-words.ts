/** Tokens of the simulated engines: words, and one token a text for its frame (turn marker, stop token). */
import type { ChatMessage } from "../grm/chat.js";

/** The frame's id; words have ids from 1. */
const frameId = 0;

/** Ids are FNV-1a hashes of the words, 1 to 65,534. */
export function wordIds(texts: readonly string[]): Uint32Array {
  const ids: number[] = [];
  for (const text of texts) {
    let hash = 0;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 32) {
        hash = Math.imul((hash === 0 ? 0x811c9dc5 : hash) ^ code, 0x01000193);
      } else if (hash !== 0) {
        ids.push(idOf(hash));
        hash = 0;
      }
    }
    if (hash !== 0) ids.push(idOf(hash));
    ids.push(frameId);
  }
  return Uint32Array.from(ids);
}

/** As many as `wordIds` gives for the conversation. */
export function countWords(messages: readonly ChatMessage[]): number {
  let words = messages.length;
  for (const { content } of messages) {
    let inside = false;
    for (let i = 0; i < content.length; i++) {
      const visible = content.charCodeAt(i) > 32;
      if (visible && !inside) words += 1;
      inside = visible;
    }
  }
  return words;
}

function idOf(hash: number): number {
  return ((hash >>> 0) % 65_534) + 1;
}
