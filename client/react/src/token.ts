// The identity in an auth token, and how long the client asks for a token.

import type { IdentityKey } from "./machine.js";

/** Fetches an auth token; null when there is none. */
export type FetchToken = (options: { forceRefreshToken: boolean }) => Promise<string | null | undefined>;

/** Issuer and subject of a JWT; null for a token that is none. The server verifies it, this only reads it. */
export function keyOf(token: string): IdentityKey | null {
  try {
    const payload = token.split(".")[1]!.replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (letter) => letter.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes)) as { iss?: unknown; sub?: unknown };
    return typeof claims.iss === "string" && typeof claims.sub === "string" ? `${claims.iss}|${claims.sub}` : null;
  } catch {
    return null;
  }
}

/** The identity in a token, one and the same for all that are no JWT. */
export const identityOf = (token: string): IdentityKey => keyOf(token) ?? "unreadable token";

/** Pauses between tries when a provider has a session but, as right after a sign-up, no token yet. */
const PAUSES_MS = [100, 200, 400, 800, 1_600];

/** Asks until there is a token, `isWanted` no longer holds, or the pauses are used up. */
export async function fetchPatiently(fetchToken: FetchToken, force: boolean, isWanted: () => boolean): Promise<string | null> {
  for (const pause of [...PAUSES_MS, null]) {
    const token = await fetchToken({ forceRefreshToken: force }).catch(() => null);
    if (token || pause === null || !isWanted()) return token ?? null;
    await new Promise((resolve) => setTimeout(resolve, pause));
    if (!isWanted()) return null;
  }
  return null;
}
