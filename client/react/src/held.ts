// Calls that wait for their person to be provisioned.

import { NotProvisionedError } from "./error.js";
import type { Rejection } from "./machine.js";

/** Calls that may wait at once; further ones are rejected. */
export const HELD_CALLS_MAX = 1_000;

interface Held {
  run: () => void;
  reject: (error: NotProvisionedError) => void;
}

/** A bounded queue of calls that all go ahead, in order, or are all rejected. */
export class HeldCalls {
  #calls: Held[] = [];

  /** Runs `call` when the queue is let go. */
  hold<T>(call: () => Promise<T>): Promise<T> {
    if (this.#calls.length >= HELD_CALLS_MAX) {
      return Promise.reject(new NotProvisionedError("Failed", `More than ${HELD_CALLS_MAX} calls wait for the user to be set up.`));
    }
    return new Promise<T>((resolve, reject) => {
      this.#calls.push({ run: () => call().then(resolve, reject), reject });
    });
  }

  letGo(): void {
    for (const { run } of this.#take()) run();
  }

  reject(reason: Rejection, because?: NotProvisionedError | null): void {
    const error = because ?? rejected(reason);
    for (const { reject } of this.#take()) reject(error);
  }

  #take(): Held[] {
    return this.#calls.splice(0);
  }
}

/** The error of a call that cannot run. */
export function rejected(reason: Rejection): NotProvisionedError {
  return new NotProvisionedError(reason, SENTENCES[reason]);
}

const SENTENCES: Record<Rejection, string> = {
  Refused: "The app did not let this person in.",
  Failed: "The user could not be set up.",
  SignedOut: "Nobody is signed in.",
  IdentityChanged: "Somebody else signed in first.",
};
