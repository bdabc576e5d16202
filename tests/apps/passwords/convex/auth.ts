import { Password } from "@convex-dev/auth/providers/Password";
import { convexAuth } from "@convex-dev/auth/server";

// No password of this app is worth a slow hash.
const hashSecret = async (secret: string) => {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(secret)));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
};
const verifySecret = async (secret: string, hash: string) => (await hashSecret(secret)) === hash;

export const { auth, signIn, signOut, store, isAuthenticated } = convexAuth({
  providers: [Password({ crypto: { hashSecret, verifySecret } })],
});
