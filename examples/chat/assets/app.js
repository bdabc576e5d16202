// The chat's page, on the official `convex` browser client, unmodified. It keeps no copy of the data:
// what is on the screen is what the newest results say. This file signs in and out and wires the page.

import { client, live } from "./connection.js";
import { gate, onGate } from "./gate.js";
import { loadOlder, sendMessage, showChannels, showMessagesOf } from "./messages.js";
import { byId, dataOf, hideError, paintAvatar, showError, textOf } from "./page.js";

const PICKS = ["Ada", "Grace", "Linus"];
const SHORT_TOKEN_SECONDS = 20;
const TOKEN_RETRY_MS_MAX = 5000;
const REMEMBERED = "vestibule-chat-who";

let session = null;
let me = null;

function signIn(who) {
  if (session) signOut();
  session = { who, token: null, tokenIsStale: false, refreshes: 0, stopMe: null };
  sessionStorage.setItem(REMEMBERED, JSON.stringify(who));
  gate.interruptions = 0;
  byId("interruptions").textContent = 0;
  byId("refreshes").textContent = 0;
  authenticate(session);
  showWho();
}

/** Signs the session in, or in again: the first time, on "Try again", and when its user was deleted elsewhere. */
function authenticate(own) {
  own.token = null;
  own.called = false;
  me = null;
  gate.begin();
  byId("retry").disabled = true;
  useTokens(own);
  own.stopMe?.();
  own.stopMe = live("users:me", {}, (user) => showMe(own, user), (error) => meFailed(own, error));
  showWho();
}

function useTokens(own) {
  client.setAuth((options) => fetchToken(own, options), (accepted) => authChanged(own, accepted));
}

function signOut() {
  const own = session;
  session = null;
  me = null;
  own.stopMe?.();
  sessionStorage.removeItem(REMEMBERED);
  // The first call tells the server; the second makes the client forget how to fetch tokens.
  client.client.clearAuth();
  client.setAuth(async () => null);
  gate.end();
  hideError();
  showWho();
}

/** The client's token fetcher. It never throws: a failed fetch must not turn the user into a guest. */
async function fetchToken(own, { forceRefreshToken }) {
  if (own.token && !own.tokenIsStale && !forceRefreshToken) return own.token;
  const refreshing = own.token !== null;
  for (let pause = 250; session === own; pause = Math.min(2 * pause, TOKEN_RETRY_MS_MAX)) {
    const answer = await requestToken(own.who);
    if (session !== own) break;
    if (answer.token) {
      own.token = answer.token;
      own.tokenIsStale = false;
      refreshing ? countRefresh(own) : firstToken(own);
      return answer.token;
    }
    if (answer.final) {
      gate.shut("failed", "No token", answer.error, "token");
      return null;
    }
    gate.note(`Fetching a token failed (${answer.error}); trying again.`);
    await new Promise((done) => setTimeout(done, pause));
  }
  return null;
}

async function requestToken({ subject, name, email, short }) {
  const body = { subject, name, ...(email && { email }), ...(short && { expiresInSeconds: SHORT_TOKEN_SECONDS }) };
  try {
    const response = await fetch("/dev/token", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    if (response.ok) return await response.json();
    return { error: `${response.status} ${await response.text()}`, final: response.status < 500 };
  } catch (error) {
    return { error: error.message, final: false };
  }
}

function firstToken(own) {
  gate.tokenFetched();
  // Let the client send its Authenticate first; this call then waits behind it. A refused identity
  // learns the reason from its answer, which nothing else carries.
  if (own.called) return;
  own.called = true;
  setTimeout(() => {
    if (session !== own) return;
    client.mutation("users:ensureUser", {}).catch((error) => {
      if (session !== own) return;
      const data = dataOf(error);
      if (data?.code !== "NotProvisioned") return showError(error);
      gate.refused(data);
      showWho();
    });
    gate.showHeld();
  });
}

function countRefresh(own) {
  own.refreshes += 1;
  byId("refreshes").textContent = own.refreshes;
}

function authChanged(own, accepted) {
  if (session !== own) return;
  if (accepted) {
    gate.open();
  } else {
    if (gate.is("provisioned")) gate.interrupted();
    own.stopMe?.();
    own.stopMe = null;
    // Only now has the client stopped trying by itself.
    if (gate.is("refused", "failed")) byId("retry").disabled = false;
    else askWhy(own);
  }
  showWho();
}

/**
 * Why the server does not take the token. On the socket its refusal may overtake this page's own call, and the client, which
 * alone hears the reason there, keeps it to itself. Over HTTP it comes with the answer.
 */
async function askWhy(own) {
  const { token } = own;
  let data;
  try {
    const response = await fetch("/api/mutation", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) },
      body: JSON.stringify({ path: "users:ensureUser", args: {}, format: "json" }),
    });
    data = (await response.json()).errorData;
  } catch {
    // The server has gone: nothing more can be said.
  }
  if (session !== own || own.token !== token) return;
  if (!gate.is("refused", "failed")) {
    if (data?.code === "NotProvisioned") gate.refused(data);
    else gate.shut("failed", "The server did not accept the token.", "");
  }
  byId("retry").disabled = false;
  showWho();
}

function showMe(own, user) {
  if (session !== own || gate.is("refused")) return;
  // A refreshed token also brings back a user that was deleted elsewhere.
  if (user !== null && gate.is("failed")) gate.open();
  if (user === null) {
    gate.interrupted();
    if (me === null) gate.step("user", "failed", "null");
    return;
  }
  const first = me === null;
  me = user;
  if (first) gate.step("user", "done", user.name);
  showWho();
}

function meFailed(own, error) {
  if (session !== own || gate.is("refused", "failed")) return;
  gate.interrupted();
  if (dataOf(error)?.code !== "UserNotFound") return showError(error);
  gate.shut("failed", me ? "This user was deleted elsewhere." : "No user", "", "user", textOf(error));
  gate.note("The next sign-in with this identity makes a new user.");
  me = null;
  byId("retry").disabled = false;
  showWho();
}

function showWho() {
  const provisioned = me !== null && gate.is("provisioned");
  byId("signed-out").hidden = session !== null;
  byId("signed-in").hidden = session === null;
  const name = me?.name ?? session?.who.name ?? "";
  byId("me-name").textContent = name;
  byId("me-subject").textContent = session ? [session.who.subject, session.who.email].filter(Boolean).join(" · ") : "";
  paintAvatar(byId("me-avatar"), me?._id ?? session?.who.subject ?? "", name);
  byId("short-live").checked = session?.who.short ?? false;
  for (const id of ["draft", "send"]) byId(id).disabled = !provisioned;
  for (const id of ["rename", "delete-me"]) byId(id).hidden = !provisioned;
  const waiting = gate.is("refused", "failed") ? "No user to write as" : gate.isSlow ? "Setting up your user" : "Waiting for the gate";
  byId("me-state").textContent = provisioned || session === null ? "" : whereYouStand();
  byId("draft").placeholder = provisioned ? "Write a message" : session ? waiting : "Sign in to write";
  showMessagesOf(provisioned ? me : null);
  document.title = session ? `${name} · Vestibule chat` : "Vestibule chat";
}

/** One line beside the name, for somebody who does not care about gates. */
function whereYouStand() {
  if (gate.is("refused")) return "Not let in";
  if (gate.isRetrying) return "Trying again";
  if (gate.is("failed")) return "Not signed in";
  return gate.isSlow ? "Setting up" : "Signing in";
}

function retry() {
  if (session === null) return;
  // The client already tries again with the same token; hearing that the network is back it does not wait.
  if (gate.isRetrying) window.dispatchEvent(new Event("online"));
  else authenticate(session);
}

function showConnection({ isWebSocketConnected, hasEverConnected, connectionCount }) {
  const state = isWebSocketConnected ? "open" : hasEverConnected ? "reconnecting" : "connecting";
  const pill = byId("connection");
  pill.dataset.state = state;
  pill.textContent = { open: "Connected", reconnecting: "Reconnecting", connecting: "Connecting" }[state];
  byId("connections").textContent = connectionCount;
  if (isWebSocketConnected && session?.token && byId("step-connection").dataset.state === "active") {
    gate.step("connection", "done");
    gate.wait();
  }
  if (isWebSocketConnected && gate.isRetrying) gate.tryAgain();
  gate.showHeld();
}

function growDraft() {
  const draft = byId("draft");
  draft.style.height = "auto";
  draft.style.height = `${Math.min(draft.scrollHeight, 160)}px`;
}

function submitDraft() {
  const body = byId("draft").value.trim();
  if (body === "" || me === null) return;
  byId("draft").value = "";
  growDraft();
  sendMessage(body);
}

async function deleteMe() {
  const own = session;
  // Watching a user that goes away would only show that it is gone.
  own.stopMe?.();
  own.stopMe = null;
  try {
    await client.mutation("users:deleteMe", {});
    if (session === own) signOut();
  } catch (error) {
    showError(error);
    if (session === own) authenticate(own);
  }
}

function listen() {
  byId("picks").replaceChildren(
    ...PICKS.map((name) => {
      const pick = Object.assign(document.createElement("button"), { type: "button", className: "second", textContent: name });
      Object.assign(pick.dataset, { testid: "pick", name });
      pick.addEventListener("click", () => {
        byId("name").value = name;
        byId("sign-in").requestSubmit();
      });
      return pick;
    }),
  );
  byId("sign-in").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = byId("name").value.trim();
    const subject = name.normalize("NFKD").toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
    if (subject === "") return;
    signIn({ subject, name, email: byId("email").value.trim(), short: byId("short").checked });
    event.target.reset();
  });
  byId("sign-out").addEventListener("click", signOut);
  byId("retry").addEventListener("click", retry);
  byId("short-live").addEventListener("change", (event) => {
    session.who.short = event.target.checked;
    sessionStorage.setItem(REMEMBERED, JSON.stringify(session.who));
    session.tokenIsStale = true;
    useTokens(session);
  });
  byId("rename").addEventListener("submit", (event) => {
    event.preventDefault();
    client.mutation("users:rename", { name: byId("new-name").value.trim() }).catch(showError);
    event.target.reset();
  });
  byId("delete-me").addEventListener("click", () => byId("confirm").showModal());
  byId("confirm").addEventListener("close", () => byId("confirm").returnValue === "delete" && deleteMe());
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    submitDraft();
  });
  byId("draft").addEventListener("input", growDraft);
  byId("draft").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submitDraft();
  });
  byId("older").addEventListener("click", loadOlder);
  byId("banner-close").addEventListener("click", hideError);
}

function start() {
  listen();
  onGate.add(showWho);
  gate.end();
  client.subscribeToConnectionState(showConnection);
  live("channels:list", {}, showChannels);
  live("users:count", {}, (count) => {
    byId("user-count").textContent = count;
    byId("user-count-word").textContent = Number(count) === 1 ? "user" : "users";
  });
  const remembered = sessionStorage.getItem(REMEMBERED);
  if (remembered) signIn(JSON.parse(remembered));
  else showWho();
}

start();
