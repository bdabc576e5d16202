// The hook that an app has from its identity provider, in the shape of Clerk's `useAuth`.

import { useSyncExternalStore } from "react";

const STORED = "clerk-session";
const listeners = new Set();
let cached = null;
let auth;

const change = (person) => {
  cached = null;
  if (person) localStorage.setItem(STORED, JSON.stringify(person));
  else localStorage.removeItem(STORED);
  read();
};

function read() {
  const person = JSON.parse(localStorage.getItem(STORED));
  auth = { isLoaded: true, isSignedIn: person !== null, userId: person?.id ?? null, orgId: null, orgRole: null, sessionClaims: null, getToken };
  for (const listen of listeners) listen();
}

async function getToken({ template, skipCache } = {}) {
  const person = JSON.parse(localStorage.getItem(STORED));
  if (template !== "convex" || person === null) return null;
  if (cached === null || skipCache) cached = (await fetch(`${ISSUER_URL}/token?${new URLSearchParams(person)}`)).text();
  return await cached;
}

export const signIn = (id, name) => change({ id, name });
export const signOut = () => change(null);
export const useAuth = () => useSyncExternalStore((listen) => (listeners.add(listen), () => listeners.delete(listen)), () => auth);

read();
