// What is shown to whom.

import type { ReactNode } from "react";
import { useUserProvisioning } from "./provider.js";

/** Shows its children to somebody whose user exists. */
export function Provisioned({ children }: { children?: ReactNode }): ReactNode {
  return useUserProvisioning().isProvisioned ? children : null;
}

/** Shows its children while somebody is on the way in, or it is not known yet whether anybody is signed in. */
export function Provisioning({ children }: { children?: ReactNode }): ReactNode {
  const { status } = useUserProvisioning();
  return status === "loading" || status === "provisioning" ? children : null;
}

/**
 * Shows its children when nobody is signed in, and to somebody who was not let in: `useUserProvisioning` says which,
 * and why.
 */
export function Unprovisioned({ children }: { children?: ReactNode }): ReactNode {
  const { status } = useUserProvisioning();
  return status === "unprovisioned" || status === "refused" || status === "failed" ? children : null;
}
