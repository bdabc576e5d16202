// When the official client may be told of another identity, and of what runs behind it.

import type { ConvexReactClient } from "convex/react";

/**
 * Passes identities and what runs behind them on to the client, but not at two moments:
 *
 * - While it replaces a token that the server rejected. It has stopped its socket then, and a `setAuth` or `clearAuth` in
 *   between would make it forget to start it again. A mutation would go out under the token from before.
 * - While a token that it has fetched is on its way to it. It has asked whether the token is still wanted, and takes it a
 *   microtask later; after a `setAuth` in between it would present the token under no configuration, and break when the
 *   server answers.
 */
export class ReachableClient {
  #isReplacing = false;
  #tokensOnTheWay = 0;
  #waiting: (() => void)[] = [];
  #stopListening: (() => void) | null = null;

  constructor(private readonly client: ConvexReactClient) {}

  /** Whether the client replaces a rejected token, as it tells its `onRefreshChange`. */
  replacing(isReplacing: boolean): void {
    this.#isReplacing = isReplacing;
    if (!isReplacing) this.#goOn();
  }

  /** A token has been fetched for the client. It has it in hand when all that is due now is done. */
  fetched(): void {
    this.#tokensOnTheWay += 1;
    setTimeout(() => {
      this.#tokensOnTheWay -= 1;
      this.#goOn();
    });
  }

  /** Does it now, or as soon as the client can be told; in the order asked. */
  tell(what: () => void): void {
    if (this.#waiting.length === 0 && this.#canBeTold()) return what();
    this.#waiting.push(what);
    this.#stopListening ??= this.client.subscribeToConnectionState(({ isWebSocketConnected }) => {
      if (isWebSocketConnected) this.#goOn();
    });
  }

  #canBeTold(): boolean {
    const isStopped = this.#isReplacing && !this.client.connectionState().isWebSocketConnected;
    return !isStopped && this.#tokensOnTheWay === 0;
  }

  #goOn(): void {
    if (this.#waiting.length === 0) return;
    // One that is closed takes no identity.
    if (this.#isClosed()) this.#waiting = [];
    else if (!this.#canBeTold()) return;
    this.#stopListening?.();
    this.#stopListening = null;
    for (const what of this.#waiting.splice(0)) what();
  }

  #isClosed(): boolean {
    try {
      this.client.connectionState();
      return false;
    } catch {
      return true;
    }
  }
}
