// A chat as a process of its own, with a switch that holds its provisioning up or makes it fail.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { onTestFinished, vi } from "vitest";

export interface ChatOptions {
  /** Whether the server keeps the promise itself, or leaves it to its clients as other servers do. */
  gate: boolean;
  /** The only e-mail domain that is let in. */
  invited?: string;
}

export interface Person {
  subject: string;
  name: string;
  email?: string;
}

export interface Chat {
  url: string;
  /** `hold` and `fail` last until `go`. */
  provisioning: (word: "go" | "hold" | "fail") => void;
  /** Resolves when a user's provisioning is held up. */
  held: () => Promise<void>;
  token: (who: Person) => Promise<string>;
  query: (path: string, args?: object) => Promise<unknown>;
}

/** Starts a chat that ends with the test. */
export async function startChat({ gate, invited }: ChatOptions): Promise<Chat> {
  const program = process.env.CHAT_BIN;
  if (!program) throw new Error("CHAT_BIN names no chat program: build the tests' `chat-under-test` and set CHAT_BIN to its path");
  const folder = mkdtempSync(path.join(tmpdir(), "vestibule-react-"));
  const word = path.join(folder, "switch");
  const child = spawn(program, ["--listen", "127.0.0.1:0", "--data", path.join(folder, "data")], {
    env: {
      ...process.env,
      VESTIBULE_LOG: "off",
      CHAT_PROVISIONING_SWITCH: word,
      ...(gate ? {} : { CHAT_WITHOUT_GATE: "1" }),
      ...(invited ? { CHAT_INVITE_DOMAIN: invited } : {}),
    },
    stdio: ["ignore", "pipe", "ignore"],
  });
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
    rmSync(folder, { recursive: true, force: true });
  });
  const url = await new Promise<string>((resolve, reject) => {
    child.once("exit", () => reject(new Error("the chat ended before it was ready")));
    createInterface(child.stdout).on("line", (line) => {
      const address = /http:\/\/\S+/.exec(line);
      if (address) resolve(address[0]);
    });
  });
  return {
    url,
    provisioning: (now) => writeFileSync(word, now),
    held: () => vi.waitUntil(() => existsSync(`${word}.held`), { timeout: 30_000 }).then(() => undefined),
    token: async (who) => ((await post(`${url}/dev/token`, who)) as { token: string }).token,
    query: async (path, args = {}) => ((await post(`${url}/api/query`, { path, args, format: "json" })) as { value: unknown }).value,
  };
}

/** Not `fetch`, which a test's document may have replaced with a browser's. */
async function post(url: string, body: object): Promise<unknown> {
  const sent = request(url, { method: "POST", headers: { "Content-Type": "application/json" } });
  sent.end(JSON.stringify(body));
  const [answer] = (await once(sent, "response")) as [AsyncIterable<Uint8Array>];
  const chunks: Uint8Array[] = [];
  for await (const chunk of answer) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString());
}
