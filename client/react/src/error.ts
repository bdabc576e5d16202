// The reason why a user is not provisioned, as the app and its users meet it.

import { ConvexError } from "convex/values";
import type { Rejection } from "./machine.js";

/** Why a person is not provisioned: what `useUserProvisioning` gives as `error`, and what held mutations reject with. */
export class NotProvisionedError extends Error {
  override readonly name = "NotProvisionedError";

  constructor(
    /**
     * `Refused`: the app's provisioning function said no. `Failed`: something got in the way, and a retry may help.
     * `SignedOut`, `IdentityChanged`: a mutation waited until its person had left.
     */
    readonly reason: Rejection,
    message: string,
    /** The data of the provisioning function's error, if it had any. */
    readonly data?: unknown,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The meaning of an error that the provisioning mutation answers. */
export function notProvisioned(error: unknown): NotProvisionedError {
  const thrown = error instanceof ConvexError ? (error.data as unknown) : undefined;
  if (isGateAnswer(error)) {
    const { reason, data } = thrown as GateAnswer;
    return reason === "refused"
      ? new NotProvisionedError("Refused", sentence(data) ?? "The app did not let this person in.", data, { cause: error })
      : new NotProvisionedError("Failed", `The user could not be set up (${reason}).`, data, { cause: error });
  }
  if (error instanceof ConvexError) {
    return new NotProvisionedError("Refused", sentence(thrown) ?? error.message, thrown, { cause: error });
  }
  const message = error instanceof Error ? error.message : String(error);
  return new NotProvisionedError("Failed", message, undefined, { cause: error });
}

interface GateAnswer {
  code: "NotProvisioned";
  reason: string;
  data?: unknown;
}

/** Whether the answer comes from a server that keeps the promise itself. */
export function isGateAnswer(error: unknown): boolean {
  const data: unknown = error instanceof ConvexError ? error.data : undefined;
  return fieldOf(data, "code") === "NotProvisioned" && typeof fieldOf(data, "reason") === "string";
}

/** The sentence for people that an app's error may carry. */
function sentence(data: unknown): string | undefined {
  const message = typeof data === "string" ? data : fieldOf(data, "message");
  return typeof message === "string" ? message : undefined;
}

function fieldOf(data: unknown, name: string): unknown {
  return typeof data === "object" && data !== null ? (data as Record<string, unknown>)[name] : undefined;
}
