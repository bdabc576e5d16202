// The signed-in user, in the shape of Clerk's `useAuth`, on the server's development issuer, which signs in every user.
// With Clerk this file goes away, and `useAuth` comes from `@clerk/clerk-react`.

import { useSyncExternalStore } from "react";
import { SERVER } from "./server";

export interface Person {
  name: string;
  email: string;
}

interface Session extends Person {
  sessionId: string;
}

const STORED = "vestibule-web-session";
const NOBODY = { isSignedIn: false, userId: null, sessionId: null, orgId: null, orgRole: null, sessionClaims: null, person: null } as const;

const listeners = new Set<() => void>();
let session = read();
let token: string | null = null;
let auth = authOf(session);

/** The signed-in user. The browser keeps the session, and its tabs share it. */
export const useAuth = () => useSyncExternalStore(listen, () => auth);

export function signIn(person: Person): void {
  localStorage.setItem(STORED, JSON.stringify({ ...person, sessionId: crypto.randomUUID() }));
  change();
}

/** The same login with another address, as when one adds an address to one's account. */
export function changeEmail(email: string): void {
  if (session === null) return;
  localStorage.setItem(STORED, JSON.stringify({ ...session, email }));
  change();
}

export function signOut(): void {
  localStorage.removeItem(STORED);
  change();
}

function listen(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function read(): Session | null {
  const stored = localStorage.getItem(STORED);
  return stored === null ? null : (JSON.parse(stored) as Session);
}

function authOf(session: Session | null) {
  if (session === null) return { ...NOBODY, isLoaded: true, getToken };
  return {
    ...NOBODY,
    isLoaded: true,
    isSignedIn: true,
    userId: subjectOf(session),
    sessionId: session.sessionId,
    sessionClaims: { sub: subjectOf(session), sid: session.sessionId },
    person: session,
    getToken,
  };
}

function change(): void {
  session = read();
  token = null;
  auth = authOf(session);
  for (const listener of listeners) listener();
}

function subjectOf({ name }: Person): string {
  return name.normalize("NFKD").toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-");
}

async function getToken({ skipCache = false }: { template?: string; skipCache?: boolean } = {}): Promise<string | null> {
  if (session === null || (token !== null && !skipCache)) return token;
  const asked = session;
  const response = await fetch(`${SERVER}/dev/token`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ subject: subjectOf(asked), name: asked.name, ...(asked.email && { email: asked.email }) }),
  });
  if (!response.ok || session !== asked) return null;
  token = ((await response.json()) as { token: string }).token;
  return token;
}

addEventListener("storage", (event) => event.key === STORED && change());
