// An identity provider as an app has it: a hook that tells who is signed in, here in Clerk's shape, and the means to
// change it.

import { useSyncExternalStore } from "react";
import type { UseClerkAuth } from "../src/index.js";
import type { Chat, Person } from "./chat.js";

type Auth = ReturnType<UseClerkAuth> & { userId: string | null | undefined };

const LOADING = { isLoaded: false, isSignedIn: undefined, userId: undefined, sessionId: undefined, orgId: undefined, orgRole: undefined, sessionClaims: undefined };
const NOBODY = { isLoaded: true, isSignedIn: false, userId: null, sessionId: null, orgId: null, orgRole: null, sessionClaims: null };

export class Account {
  #auth: Auth;
  #listeners = new Set<() => void>();
  #sessions = 0;
  /** Tokens that were given. */
  tokens = 0;
  /** How many times there is no token although there is a session. */
  emptyHanded = 0;
  person: Person | null = null;

  constructor(
    private readonly chat: Chat,
    signedIn?: Person,
  ) {
    this.#auth = { ...LOADING, getToken: this.getToken };
    if (signedIn) this.signIn(signedIn);
  }

  getToken = async (): Promise<string | null> => {
    const { person } = this;
    if (person === null) return null;
    if (this.emptyHanded > 0) {
      this.emptyHanded -= 1;
      return null;
    }
    const token = await this.chat.token(person);
    this.tokens += 1;
    return token;
  };

  readonly current = (): Auth => this.#auth;
  readonly listen = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly useAuth: UseClerkAuth = () => useSyncExternalStore(this.listen, this.current, this.current);

  signIn(person: Person): void {
    this.person = person;
    this.#sessions += 1;
    this.#change({ ...NOBODY, isSignedIn: true, userId: person.subject, sessionId: `sess_${this.#sessions}` });
  }

  signOut(): void {
    this.person = null;
    this.#change(NOBODY);
  }

  organization(orgId: string): void {
    this.#change({ ...this.#auth, orgId });
  }

  #change(auth: Omit<Auth, "getToken">): void {
    this.#auth = { ...auth, getToken: this.getToken };
    for (const listener of this.#listeners) listener();
  }
}

export const ADA = { subject: "ada", name: "Ada" };
export const GRACE = { subject: "grace", name: "Grace" };
export const BARBARA = { subject: "barbara", name: "Barbara" };
export const LINUS = { subject: "linus", name: "Linus" };
