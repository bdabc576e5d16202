// The one client of the page, and its live queries.

import { showError } from "./page.js";

/** Told of the server's own words when it closes the connection. */
export const onDisconnect = new Set();

export const client = new convex.ConvexClient(location.origin, {
  unsavedChangesWarning: false,
  onServerDisconnectError: (message) => onDisconnect.forEach((tell) => tell(message)),
});

/** Live queries that have not had their first answer. */
export const unanswered = new Set();

/** Told of each answer to a live query. */
export const onAnswer = new Set();

/** Subscribes, and returns what ends the subscription. */
export function live(path, args, onResult, onError = showError) {
  const waiting = Symbol(path);
  unanswered.add(waiting);
  const answered = (then) => (value) => {
    unanswered.delete(waiting);
    then(value);
    onAnswer.forEach((tell) => tell());
  };
  const stop = client.onUpdate(path, args, answered(onResult), answered(onError));
  return () => {
    unanswered.delete(waiting);
    stop();
  };
}
