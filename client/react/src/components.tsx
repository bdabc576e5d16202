// Shows its children in one state of the login.

import type { ReactNode } from "react";
import { useUserProvisioning } from "./provider.js";

/** Shows its children when the user exists. */
export function Provisioned({ children }: { children?: ReactNode }): ReactNode {
  return useUserProvisioning().isProvisioned ? children : null;
}

/** Shows its children while the user is on the way in, or while the sign-in state is not known yet. */
export function Provisioning({ children }: { children?: ReactNode }): ReactNode {
  const { status } = useUserProvisioning();
  return status === "loading" || status === "provisioning" ? children : null;
}

/**
 * Shows its children when the user is signed out, or was not let in: `useUserProvisioning` says which,
 * and why.
 */
export function Unprovisioned({ children }: { children?: ReactNode }): ReactNode {
  const { status } = useUserProvisioning();
  return status === "unprovisioned" || status === "refused" || status === "failed" ? children : null;
}
