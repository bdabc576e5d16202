// The gate panel: how one identity comes to be provisioned on this connection. The server keeps the
// promise that nothing runs as an identity before its user exists; this panel only watches it.

import { client, onAnswer, onDisconnect, unanswered } from "./connection.js";
import { byId } from "./page.js";

export const gate = {
  startedAt: 0,
  interruptions: 0,

  begin() {
    this.startedAt = performance.now();
    for (const name of ["token", "connection", "provisioning", "provisioned", "user"]) this.step(name, "waiting");
    this.step("token", "active");
    byId("refusal").hidden = true;
    this.state("unprovisioned");
    this.note("");
  },

  state(state) {
    byId("gate").dataset.state = state;
    byId("gate-status").textContent = state;
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
    if (!this.is("unprovisioned")) return;
    this.state("provisioning");
    this.note("The identity is pending. Until its user exists, nothing runs as it.");
    this.step("provisioning", "active");
    this.showHeld();
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
    this.shut("refused", `Refused: ${why}`, JSON.stringify(data, null, 2));
    this.note(data.data?.message ?? "The server let nothing run as this identity.");
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

  end() {
    this.begin();
    this.step("token", "waiting");
    this.note("Nobody is signed in on this connection.");
  },
};

onAnswer.add(() => gate.showHeld());
onDisconnect.add((message) => gate.note(message));
