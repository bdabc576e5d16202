/**
 * React hooks whose queries run only after their user exists, over the official `convex/react`.
 *
 * @module
 */

export type { UseAuth, UseAuth0, UseClerkAuth, UseOwnAuth } from "./auth.js";
export { Provisioned, Provisioning, Unprovisioned } from "./components.js";
export { NotProvisionedError } from "./error.js";
export { useAuthedMutation, useAuthedPaginatedQuery, useAuthedQuery } from "./hooks.js";
export {
  UserProvisioningProvider,
  useUserProvisioning,
  type ProvisioningStatus,
  type UserProvisioning,
  type UserProvisioningProviderProps,
} from "./provider.js";
export type { ProvisioningMutation } from "./session.js";
