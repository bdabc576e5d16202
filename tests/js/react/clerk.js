// The hooks that an app has from its identity provider, in the shape of Clerk's `useAuth`, on the development issuer.
// Sessions live in localStorage and are told to other tabs, as Clerk's are; loading one takes a moment.

import { useSyncExternalStore } from "react";
import { record } from "./recorder.js";

const options = new URLSearchParams(location.search);
const CHAT = options.get("chat");
const LIFETIME_SECONDS = Number(options.get("lifetime") ?? 60);
const STORED = "clerk-session";
const loading = { isLoaded: false, isSignedIn: undefined, userId: undefined, sessionId: undefined, orgId: undefined, orgRole: undefined, sessionClaims: undefined };
const nobody = { isLoaded: true, isSignedIn: false, userId: null, sessionId: null, orgId: null, orgRole: null, sessionClaims: null };

const listeners = new Set();
let cached = null;
let auth = { ...loading, getToken, signOut };
/** How many times `getToken` answers nothing although a session is there, as it does right after a sign-up. */
let emptyHanded = Number(options.get("emptyHanded") ?? 0);
window.tokens = 0;

function change(next) {
  record("auth", next.isLoaded ? (next.userId ?? "nobody") : "loading");
  auth = { ...next, getToken, signOut };
  listeners.forEach((listen) => listen());
}

const sessionOf = (person) => ({
  ...nobody,
  isSignedIn: true,
  userId: person.subject,
  sessionId: person.sessionId,
  orgId: person.orgId ?? null,
  sessionClaims: { sub: person.subject, sid: person.sessionId },
  person,
});

function read() {
  cached = null;
  const stored = localStorage.getItem(STORED);
  change(stored ? sessionOf(JSON.parse(stored)) : nobody);
}

async function getToken({ template, skipCache } = {}) {
  const { person } = auth;
  if (template !== "convex" || !person) return null;
  if (emptyHanded > 0) {
    emptyHanded -= 1;
    return null;
  }
  if (cached && !skipCache) return cached;
  const response = await fetch(`${CHAT}/dev/token`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ subject: person.subject, name: person.name, expiresInSeconds: LIFETIME_SECONDS }),
  });
  const { token } = await response.json();
  if (auth.person !== person) return null;
  window.tokens += 1;
  return (cached = token);
}

export async function signOut() {
  localStorage.removeItem(STORED);
  read();
}

/** Signs in, or over to another person; `slowly` as Clerk does when it navigates: with a moment of not being loaded. */
export async function setActive(name, { slowly = false } = {}) {
  localStorage.setItem(STORED, JSON.stringify({ subject: name, name, sessionId: `sess_${crypto.randomUUID()}` }));
  if (slowly) {
    change(loading);
    await fetch(`${CHAT}/version`);
  }
  read();
}

/** The same session in another organisation. */
export function setOrganization(orgId) {
  localStorage.setItem(STORED, JSON.stringify({ ...auth.person, orgId }));
  read();
}

export const useAuth = () =>
  useSyncExternalStore(
    (listen) => {
      listeners.add(listen);
      return () => listeners.delete(listen);
    },
    () => auth,
  );

window.clerk = { setActive, setOrganization, signOut };
addEventListener("storage", (event) => event.key === STORED && read());
fetch(`${CHAT}/version`).then(read);
