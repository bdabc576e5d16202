// Pages with the built package, moved from outside: orders come on standard input, what each page saw goes to standard
// output, one JSON text a line. The randomized schedules of the guarantee start this.

import { createInterface } from "node:readline";
import { Window } from "happy-dom";
import WebSocket from "ws";

// Before React looks for them. Newer Nodes have some that cannot be assigned.
const window = new Window();
for (const [name, value] of Object.entries({ window, document: window.document, navigator: window.navigator })) {
  Object.defineProperty(globalThis, name, { value, configurable: true });
}

const { createElement: h, StrictMode, useLayoutEffect, useSyncExternalStore } = await import("react");
const { createRoot } = await import("react-dom/client");
const { ConvexReactClient } = await import("convex/react");
const { makeFunctionReference } = await import("convex/server");
const { UserProvisioningProvider, useAuthedMutation, useAuthedQuery, useUserProvisioning } = await import("../dist/index.js");

const api = {
  ensureUser: makeFunctionReference("users:ensureUser"),
  write: makeFunctionReference("notes:write"),
};
const QUERIES = ["users:me", "users:whoami", "notes:mine", "notes:pulse"];
const queries = QUERIES.map((path) => [path, makeFunctionReference(path)]);
const NOBODY = { isLoading: false, isAuthenticated: false, fetchAccessToken: () => Promise.resolve(null), login: 0, identity: null };

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
// Messages of the package and the official client to their developer are not for the record.
for (const level of ["log", "info", "warn", "error"]) console[level] = () => undefined;

/** Tokens that were asked for. */
const tokens = new Map();
let nextToken = 0;

function fetchToken(page, login, force) {
  nextToken += 1;
  say({ page, token: nextToken, login, force });
  return new Promise((resolve) => tokens.set(nextToken, resolve));
}

class Page {
  #listeners = new Set();
  #watched = new Set();
  #auth = NOBODY;
  #version = 0;
  #calls = [];
  /** The last report, so that each change is reported once. */
  #stood = "";
  /** The login that ended last. */
  #over = 0;
  /** The login on the screen. */
  login = 0;
  #shown = new Map();

  constructor(id, url) {
    this.id = id;
    this.client = new ConvexReactClient(url, { webSocketConstructor: WebSocket, unsavedChangesWarning: false, logger: false });
    this.element = document.body.appendChild(document.createElement("div"));
    this.root = createRoot(this.element);
    const useAuth = () => useSyncExternalStore(this.#listen, () => this.#auth);
    const App = () => {
      const { login, identity } = useAuth();
      useSyncExternalStore(this.#listen, () => this.#version);
      const now = useUserProvisioning();
      const write = useAuthedMutation(api.write);
      const results = queries.map(([path, query]) => [path, useAuthedQuery(query, this.#watched.has(path) ? {} : "skip")]);
      useLayoutEffect(() => this.#committed({ login, identity, now, write, results }));
      return null;
    };
    const app = h(UserProvisioningProvider, { client: this.client, useAuth, ensureUser: api.ensureUser }, h(App));
    this.root.render(h(StrictMode, null, app));
  }

  #listen = (listener) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  #changed() {
    this.#version += 1;
    for (const listener of this.#listeners) listener();
  }

  #saw(saw) {
    say({ page: this.id, saw });
  }

  signIn({ login, identity }) {
    this.#saw({ saw: "asks", login, identity });
    const fetchAccessToken = ({ forceRefreshToken }) => fetchToken(this.id, login, forceRefreshToken);
    this.#auth = { isLoading: false, isAuthenticated: true, fetchAccessToken, login, identity };
    this.#changed();
  }

  signOut() {
    this.#auth = NOBODY;
    this.#changed();
  }

  watch({ query }) {
    this.#watched.add(query);
    this.#changed();
  }

  unwatch({ query }) {
    this.#watched.delete(query);
    this.#changed();
  }

  /** Calls at the next commit, as a handler of what is on the screen then. */
  mutate({ mark }) {
    this.#calls.push(() => this.#call(mark));
    this.#changed();
  }

  /** Tries again if the person is kept out, and calls otherwise. */
  retry({ mark }) {
    this.#calls.push(() => this.#retry(mark));
    this.#changed();
  }

  end() {
    this.root.unmount();
    void this.client.close().then(() => say({ page: this.id, ended: true }));
  }

  #committed(screen) {
    const { login, now, results } = (this.screen = screen);
    if (login !== this.login) {
      if (this.login > 0) {
        this.#over = this.login;
        this.#saw({ saw: "ended", login: this.login });
      }
      this.login = login;
      this.#shown.clear();
    }
    this.#stands(now, login);
    for (const [query, value] of results) {
      const text = JSON.stringify(value);
      if (value === undefined || this.#shown.get(query) === text) continue;
      this.#shown.set(query, text);
      if (now.isProvisioned) this.#saw({ saw: "shown", login, query, value });
      else this.#saw({ saw: "failed", login, query, why: "other", text: `${text} is shown to somebody who is ${now.status}` });
    }
    for (const call of this.#calls.splice(0)) call();
  }

  #stands({ status, isProvisioned, error }, login) {
    const status_ = { loading: "nobody", unprovisioned: this.#over > 0 ? "ended" : "nobody", provisioning: "provisioning", provisioned: "provisioned" }[status] ?? "keptOut";
    if (!isProvisioned) this.#shown.clear();
    const stands = `${login} ${status}`;
    if (stands === this.#stood) return;
    this.#stood = stands;
    this.#saw({ saw: "stands", client: 1, status: status_ });
    if (isProvisioned) this.#saw({ saw: "letIn", login });
    if (status_ === "keptOut") this.#saw({ saw: "keptOut", login, why: status === "refused" ? "refused" : "failed", text: error?.message });
  }

  #retry(mark) {
    const { now, login, identity } = this.screen;
    if (now.status !== "refused" && now.status !== "failed") return this.#call(mark);
    this.#saw({ saw: "asks", login, identity });
    now.retry();
    say({ page: this.id, done: mark });
  }

  #call(mark) {
    const { login, identity, write } = this.screen;
    if (login === 0) return say({ page: this.id, done: mark });
    this.#saw({ saw: "calls", login, mark, kind: "mutation" });
    const answered = (how) => {
      this.#saw({ saw: "answered", login, mark, how, mine: "notWatched" });
      say({ page: this.id, done: mark });
    };
    write({ meant: identity, mark }).then(
      (note) => answered({ returned: note }),
      (error) => answered(this.#howItFailed(error, login)),
    );
  }

  #howItFailed(error, login) {
    if (error.name === "NotProvisionedError") {
      // It waited on this side, and has not run.
      const hasLeft = error.reason === "SignedOut" || error.reason === "IdentityChanged";
      return hasLeft ? { loginEnded: { mayHaveRun: false } } : { notProvisioned: { mayHaveRun: false } };
    }
    // The official client sends unanswered calls again, and the server answers only the sender's own.
    if (login !== this.login) return { loginEnded: { mayHaveRun: true } };
    if (error.data?.code === "NotProvisioned") return { notProvisioned: { mayHaveRun: true } };
    return { threw: `${error.name}: ${error.message} ${JSON.stringify(error.data)}` };
  }
}

const pages = new Map();
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  switch (order.do) {
    case "open":
      pages.set(order.page, new Page(order.page, order.url));
      break;
    case "token":
      tokens.get(order.token)(order.text);
      tokens.delete(order.token);
      break;
    default:
      pages.get(order.page)[order.do](order);
      if (order.do === "end") pages.delete(order.page);
  }
}
process.exit(0);
