// When the official client may be told of another identity, and of what runs behind it.

import type { ConvexReactClient } from "convex/react";

/**
 * Passes identities and what runs behind them on to the client, but not while it replaces a token that the server
 * rejected: it has stopped its socket then, and a `setAuth` or `clearAuth` in between would make it forget to start it
 * again. A mutation would go out under the token from before.
 */
export class ReachableClient {
  #isReplacing = false;
  #waiting: (() => void)[] = [];
  #stopListening: (() => void) | null = null;

  constructor(private readonly client: ConvexReactClient) {}

  /** Whether the client replaces a rejected token, as it tells its `onRefreshChange`. */
  replacing(isReplacing: boolean): void {
    this.#isReplacing = isReplacing;
    if (!isReplacing) this.#goOn();
  }

  /** Does it now, or as soon as the client has a socket again; in the order asked. */
  tell(what: () => void): void {
    if (this.#waiting.length === 0 && !this.#isStopped()) return what();
    this.#waiting.push(what);
    this.#stopListening ??= this.client.subscribeToConnectionState(({ isWebSocketConnected }) => {
      if (isWebSocketConnected) this.#goOn();
    });
  }

  #isStopped(): boolean {
    return this.#isReplacing && !this.client.connectionState().isWebSocketConnected;
  }

  #goOn(): void {
    this.#stopListening?.();
    this.#stopListening = null;
    const waiting = this.#waiting.splice(0);
    // It says that it replaces nothing any more when it is closed, too, and then takes no identity.
    if (waiting.length > 0 && this.#isClosed()) return;
    for (const what of waiting) what();
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
