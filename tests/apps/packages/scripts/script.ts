// A script is a list of cases. Each gives a value that JSON can hold, from a package and listed inputs alone.

/** What a case is given: the address of a server that plays the services which packages talk to. */
export type World = { services: string };
export type Case = (world: World) => unknown;
export type Script = Record<string, Case>;

/** Runs a case, and tells what it gave or threw in words that are the same everywhere. */
export async function tell(run: Case, world: World): Promise<string> {
  try {
    return JSON.stringify({ value: await run(world) }, (_, value) => told(value));
  } catch (error) {
    const { name, message, code } = error as Error & { code?: unknown };
    return JSON.stringify({ error: { name, message, code } });
  }
}

function told(value: unknown): unknown {
  if (typeof value === "bigint") return `${value}n`;
  if (value === undefined) return "undefined";
  if (value instanceof Uint8Array) return hex(value);
  if (value instanceof ArrayBuffer) return hex(new Uint8Array(value));
  if (value instanceof Map) return [...value];
  if (value instanceof Set) return [...value];
  return value;
}

export const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
export const utf8 = (text: string) => new TextEncoder().encode(text);
/** What `run` throws, as text. */
export async function thrown(run: () => unknown): Promise<string> {
  try {
    await run();
  } catch (error) {
    return String(error);
  }
  return "nothing was thrown";
}
