// An app whose users come from Clerk's webhook, by the instructions of Convex's documentation.

import { Authenticated, AuthLoading, ConvexReactClient, Unauthenticated, useMutation, useQuery } from "convex/react";
import { ConvexProviderWithClerk } from "convex/react-clerk";
import { Component, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { api } from "../convex/_generated/api";
import { signIn, signOut, useAuth } from "./clerk.js";

/** Shows what a query threw, as "User not found", for good. */
class Boundary extends Component {
  state = { error: null };

  static getDerivedStateFromError(error) {
    return { error };
  }

  render() {
    return this.state.error ? <p data-testid="broken">{String(this.state.error)}</p> : this.props.children;
  }
}

function Pictures() {
  const pictures = useQuery(api.pictures.list) ?? [];
  const generateUploadUrl = useMutation(api.pictures.generateUploadUrl);
  const save = useMutation(api.pictures.save);
  const remove = useMutation(api.pictures.remove);
  const upload = async ({ target: { files: [file] } }) => {
    const sent = await fetch(await generateUploadUrl(), { method: "POST", headers: { "Content-Type": file.type }, body: file });
    const { storageId } = await sent.json();
    await save({ name: file.name, storageId });
  };
  return (
    <section>
      <input type="file" data-testid="file" onChange={upload} />
      {pictures.map(({ _id, name, url, bytes, type }) => (
        <p key={_id}>
          <a href={url} data-testid="picture">{name}, {bytes} bytes, {type}</a>
          <img src={url} data-testid="image" />
          <button data-testid="remove" onClick={() => remove({ id: _id })}>remove</button>
        </p>
      ))}
    </section>
  );
}

function Letters() {
  const letters = useQuery(api.letters.list) ?? [];
  const waiting = useQuery(api.letters.waiting) ?? [];
  const send = useMutation(api.letters.send);
  const later = useMutation(api.letters.later);
  const callBack = useMutation(api.letters.callBack);
  return (
    <section>
      <button data-testid="send" onClick={() => send({ body: "sent" })}>send</button>
      <button data-testid="later" onClick={() => later({ body: "late" })}>later</button>
      <button data-testid="call-back" onClick={() => callBack({ id: waiting[0] })}>call back</button>
      <p data-testid="letters">{letters.join(", ")}</p>
      <p data-testid="waiting">{waiting.length} waiting</p>
    </section>
  );
}

function Home() {
  return (
    <main>
      <h1 data-testid="me">{useQuery(api.users.me)}</h1>
      <p data-testid="ticks">{useQuery(api.clock.ticks)}</p>
      <button data-testid="sign-out" onClick={signOut}>sign out</button>
      <Pictures />
      <Letters />
    </main>
  );
}

window.signIn = signIn;

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <Boundary>
      <ConvexProviderWithClerk client={new ConvexReactClient(CONVEX_URL)} useAuth={useAuth}>
        <AuthLoading><p data-testid="loading">loading</p></AuthLoading>
        <Unauthenticated><p data-testid="signed-out">signed out</p></Unauthenticated>
        <Authenticated><Home /></Authenticated>
      </ConvexProviderWithClerk>
    </Boundary>
  </StrictMode>,
);
