// A notebook behind a password, by the library's own instructions.

import { ConvexAuthProvider, useAuthActions, useAuthToken } from "@convex-dev/auth/react";
import { Authenticated, AuthLoading, ConvexReactClient, insertAtTop, Unauthenticated, useMutation, usePaginatedQuery, useQuery } from "convex/react";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { api } from "../convex/_generated/api";

const PAGE_ITEMS = 5;

function SignIn() {
  const { signIn } = useAuthActions();
  const [flow, setFlow] = useState("signIn");
  const [problem, setProblem] = useState("");
  const submit = async (event) => {
    event.preventDefault();
    setProblem("");
    try {
      await signIn("password", new FormData(event.target));
    } catch (error) {
      setProblem(String(error));
    }
  };
  return (
    <form onSubmit={submit}>
      <input name="email" data-testid="email" />
      <input name="password" type="password" data-testid="password" />
      <input name="flow" type="hidden" value={flow} />
      <button type="submit" data-testid="submit">{flow}</button>
      <button type="button" data-testid="other" onClick={() => setFlow(flow === "signIn" ? "signUp" : "signIn")}>other</button>
      <p data-testid="problem">{problem}</p>
    </form>
  );
}

function Reader() {
  const token = useAuthToken();
  const remove = useMutation(api.notes.remove);
  const [said, setSaid] = useState([]);
  const read = async () => {
    const response = await fetch(`${SITE_URL}/read`, { headers: { Authorization: `Bearer ${token}` } });
    let text = "";
    for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
      text += piece;
      for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
        const event = text.slice(0, end);
        if (event.startsWith("event: end")) return setSaid((said) => [...said, "the end"]);
        const { id, body } = JSON.parse(event.slice("data: ".length));
        setSaid((said) => [...said, body]);
        await remove({ id });
      }
    }
  };
  return (
    <section>
      <button data-testid="read" onClick={read}>read</button>
      <p data-testid="said">{said.join(", ")}</p>
    </section>
  );
}

function Notes() {
  const { signOut } = useAuthActions();
  const me = useQuery(api.notes.me);
  const { results, status, loadMore } = usePaginatedQuery(api.notes.page, {}, { initialNumItems: PAGE_ITEMS });
  const [problem, setProblem] = useState("");
  const add = useMutation(api.notes.add).withOptimisticUpdate((store, { body }) => {
    const item = { _id: crypto.randomUUID(), _creationTime: Date.now(), body, isPending: true };
    insertAtTop({ paginatedQuery: api.notes.page, localQueryStore: store, item });
  });
  const submit = (event) => {
    event.preventDefault();
    setProblem("");
    add({ body: new FormData(event.target).get("body") }).catch((error) => setProblem(String(error.data)));
    event.target.reset();
  };
  return (
    <main>
      <h1 data-testid="me">{me}</h1>
      <form onSubmit={submit}>
        <input name="body" data-testid="body" />
        <button data-testid="add">add</button>
      </form>
      <p data-testid="problem">{problem}</p>
      <ul data-testid="notes" data-status={status}>
        {results.map(({ _id, body, isPending }) => <li key={_id} data-testid="note" data-pending={isPending ?? false}>{body}</li>)}
      </ul>
      <button data-testid="more" onClick={() => loadMore(PAGE_ITEMS)}>more</button>
      <button data-testid="sign-out" onClick={() => signOut()}>sign out</button>
      <Reader />
    </main>
  );
}

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <ConvexAuthProvider client={new ConvexReactClient(CONVEX_URL)}>
      <AuthLoading><p data-testid="loading">loading</p></AuthLoading>
      <Unauthenticated><SignIn /></Unauthenticated>
      <Authenticated><Notes /></Authenticated>
    </ConvexAuthProvider>
  </StrictMode>,
);
