// A switch for the provisioning function of a chat: while it holds, no user comes in; while it fails, the function
// ends as by a bug of its own, and the server may try again.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { atEnd, Chat } from "./harness.mjs";

/** Starts a chat with a switch; `word` is how it stands at first: "go", "hold" or "fail". */
export async function switchedChat(t, { word = "go", ...options } = {}) {
  const folder = mkdtempSync(path.join(tmpdir(), "vestibule-switch-"));
  atEnd(t, () => rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, "word");
  const set = (word) => writeFileSync(file, word);
  set(word);
  const chat = await Chat.start(t, { ...options, provisioningSwitch: file });
  // A held call would otherwise keep the process from ending by itself.
  atEnd(t, () => set("go"));
  return { chat, hold: () => set("hold"), fail: () => set("fail"), release: () => set("go") };
}
