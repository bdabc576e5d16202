// An app as its team wrote it for Convex and Clerk: official packages, official components, no thought of first logins.

import { Component, Profiler, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Authenticated, AuthLoading, ConvexReactClient, Unauthenticated, useConvexAuth, useMutation, usePaginatedQuery, useQuery } from "convex/react";
import { ConvexProviderWithClerk } from "convex/react-clerk";
import { anyApi as api } from "convex/server";
import { setActive, signOut, useAuth } from "./clerk.js";
import { record, watchDocument } from "./recorder.js";

const options = new URLSearchParams(location.search);

class Boundary extends Component {
  state = { error: null };

  static getDerivedStateFromError(error) {
    return { error };
  }

  componentDidCatch(error) {
    record("error", String(error));
  }

  render() {
    return this.state.error ? <p>ERROR {String(this.state.error)}</p> : this.props.children;
  }
}

function Status() {
  const { isLoading, isAuthenticated } = useConvexAuth();
  const count = useQuery(api.users.count, {});
  const skipped = useQuery(api.users.me, isAuthenticated ? {} : "skip");
  return (
    <p>
      [{isLoading ? "loading" : isAuthenticated ? "authenticated" : "signed out"}] [skipping: {nameOf(skipped)}] [count: {count ?? "…"}]
    </p>
  );
}

/** A component that asks who one is without waiting for anything. */
function Bare() {
  const me = useQuery(api.users.me, {});
  return <p>[bare: {nameOf(me)}]</p>;
}

const nameOf = (me) => (me === undefined ? "…" : me === null ? "nobody" : me.name);

function Home() {
  const me = useQuery(api.users.me, {});
  const { results, status } = usePaginatedQuery(api.messages.page, { channel: "general" }, { initialNumItems: 10 });
  const send = useMutation(api.messages.send);
  const submit = (event) => {
    event.preventDefault();
    send({ channel: "general", body: new FormData(event.target).get("body") });
    event.target.reset();
  };
  return (
    <main>
      <h1 data-testid="home">Home of {nameOf(me)}</h1>
      <ul>{results.map(({ _id, body, author }) => <li key={_id} data-testid="message">{author.name}: {body}</li>)}</ul>
      <p>[{status}]</p>
      <form onSubmit={submit}><input name="body" data-testid="body" /></form>
      <button data-testid="sign-out" onClick={signOut}>Leave</button>
    </main>
  );
}

function SignIn() {
  return (
    <p>
      Please sign in. {["Ada", "Grace"].map((name) => <button key={name} data-testid={name} onClick={() => setActive(name)}>{name}</button>)}
    </p>
  );
}

const client = new ConvexReactClient(options.get("chat"), {
  expectAuth: options.has("expectAuth"),
  authRefreshTokenLeewaySeconds: Number(options.get("leeway") ?? 10),
  unsavedChangesWarning: false,
});
client.connectionState && (window.connections = () => client.connectionState().connectionCount);

const app = (
  <Profiler id="app" onRender={() => record("commit")}>
    <Boundary>
      <ConvexProviderWithClerk client={client} useAuth={useAuth}>
        <Status />
        {options.has("bare") && <Bare />}
        <AuthLoading><p>One moment.</p></AuthLoading>
        <Unauthenticated><SignIn /></Unauthenticated>
        <Authenticated><Home /></Authenticated>
      </ConvexProviderWithClerk>
    </Boundary>
  </Profiler>
);

const root = document.querySelector("#root");
watchDocument(root);
createRoot(root).render(<StrictMode>{app}</StrictMode>);
