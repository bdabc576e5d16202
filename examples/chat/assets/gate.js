// The gate panel: how one identity comes to be provisioned on this connection. The server keeps the
// promise that nothing runs as an identity before its user exists; this panel only watches it.

import { client, onAnswer, onDisconnect, unanswered } from "./connection.js";
import { byId } from "./page.js";

/** An ordinary login is over before anybody would read about it. */
const SLOW_AFTER_MS = 1_000;
/** The reason with which the server closes a connection whose provisioning it could not finish. */
const PROVISIONING_FAILED = "ProvisioningFailed";

export const gate = {
  startedAt: 0,
  interruptions: 0,
  slowTimer: undefined,
  /** Whether provisioning takes so long that a person should hear of it. */
  isSlow: false,
  /** Whether the client tries again by itself, as it does when the server could not finish. */
  isRetrying: false,

  begin() {
    this.reset("verifying");
    this.step("token", "active");
    this.note("Getting a token that says who you are.");
  },

  end() {
    this.reset("unprovisioned");
    this.note("Nobody is signed in on this connection.");
  },

  reset(state) {
    this.startedAt = performance.now();
    for (const name of ["token", "connection", "provisioning", "provisioned", "user"]) this.step(name, "waiting");
    byId("refusal").hidden = true;
    this.state(state);
  },

  state(state) {
    clearTimeout(this.slowTimer);
    this.isSlow = false;
    this.isRetrying = false;
    byId("gate").dataset.state = state;
    byId("gate-status").textContent = state;
    tellOfGate();
  },

  is: (...states) => states.includes(byId("gate").dataset.state),

  note(text) {
    byId("gate-note").textContent = text;
  },

  /** Moves one step; a step that ends is stamped with the time since sign-in. */
  step(name, state, detail = "") {
    const item = byId(`step-${name}`);
    const ends = (state === "done" || state === "failed") && item.dataset.state !== state;
    item.dataset.state = state;
    item.querySelector("small").textContent = detail;
    if (ends) {
      const ms = Math.max(0, Math.round(performance.now() - this.startedAt));
      item.dataset.ms = ms;
      item.querySelector("i").textContent = `${ms.toLocaleString()} ms`;
    } else if (state === "waiting" || state === "active") {
      delete item.dataset.ms;
      item.querySelector("i").textContent = "";
    }
  },

  tokenFetched() {
    this.step("token", "done");
    const open = client.connectionState().isWebSocketConnected;
    this.step("connection", open ? "done" : "active");
    if (open) this.wait();
  },

  wait() {
    if (!this.is("verifying")) return;
    this.state("provisioning");
    this.note("The identity is pending. Until its user exists, nothing runs as it.");
    this.step("provisioning", "active");
    this.showHeld();
    this.slowTimer = setTimeout(() => this.slow(), SLOW_AFTER_MS);
  },

  slow() {
    this.isSlow = true;
    this.note("Setting up your user. This takes longer than usual; you need do nothing.");
    tellOfGate();
  },

  showHeld() {
    if (!this.is("provisioning")) return;
    const count = (n, one, many) => `${n} ${n === 1 ? one : many}`;
    const calls = client.connectionState().inflightMutations;
    const held = `${count(unanswered.size, "query", "queries")}, ${count(calls, "mutation", "mutations")}`;
    this.step("provisioning", "active", `waiting behind it: ${held}`);
  },

  open() {
    this.step("connection", "done");
    this.step("provisioning", "done");
    this.step("provisioned", "done");
    byId("refusal").hidden = true;
    this.state("provisioned");
    this.note("The user exists, and everything this page reads is at or past that commit.");
  },

  /** What the app's own provisioning function said no with; the client goes on retrying for a moment. */
  refused(data) {
    const why = data.data?.code ?? data.reason ?? data.code;
    this.shut("refused", data.data?.message ?? `Refused: ${why}`, JSON.stringify(data, null, 2), "provisioning", why);
    this.note("The app said no. Nothing ran as this identity.");
  },

  /** The server could not finish; the client connects again by itself, still signed in. */
  failed() {
    this.shut("failed", "Setting up your user did not work.", "");
    this.isRetrying = true;
    byId("retry").disabled = false;
    this.note("You are still signed in, and it is tried again by itself.");
    tellOfGate();
  },

  /** The client has connected again after a failure. */
  tryAgain() {
    byId("refusal").hidden = true;
    this.step("provisioning", "waiting");
    this.state("verifying");
    this.wait();
  },

  /** Ends the way in at `step`, saying why. */
  shut(state, title, data, step = "provisioning", detail = "") {
    this.step(step, "failed", detail);
    this.state(state);
    byId("refusal").hidden = false;
    byId("refusal-title").textContent = title;
    byId("refusal-data").textContent = data;
    byId("refusal-data").hidden = data === "";
  },

  interrupted() {
    this.interruptions += 1;
    byId("interruptions").textContent = this.interruptions;
  },
};

/** Told whenever the gate's state is another. */
export const onGate = new Set();

const tellOfGate = () => onGate.forEach((tell) => tell());

onAnswer.add(() => gate.showHeld());
onDisconnect.add((message) => {
  // A connection that ends for another reason leaves the state it had.
  if (gate.is("provisioning") && message.includes(PROVISIONING_FAILED)) gate.failed();
  else gate.note(message);
});
