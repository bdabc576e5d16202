// Inside: a chat, whose every query and mutation runs as a user who exists.

import { useAuthedMutation, useAuthedPaginatedQuery, useAuthedQuery } from "@vestibule/react";
import type { OptimisticLocalStore } from "convex/browser";
import { insertAtTop } from "convex/react";
import { useMemo, useState, type FormEvent } from "react";
import { api, type Message, type User } from "./api";
import { signIn, signOut } from "./auth";
import { Avatar } from "./avatar";

const CHANNEL = "general";
const PAGE_ITEMS = 20;
const OTHERS = ["Ada", "Grace", "Linus"];

export function Chat() {
  const me = useAuthedQuery(api.users.me);
  return (
    <main className="inside" data-testid="inside">
      <section className="chat" aria-labelledby="channel">
        <header><h2 id="channel"># {CHANNEL}</h2></header>
        <Messages me={me} />
        <Composer me={me} />
      </section>
      <aside className="card" aria-label="You">
        <div className="me">
          <Avatar name={me?.name ?? ""} />
          <div>
            <p className="me-name" data-testid="me-name">{me?.name}</p>
            <p className="soft">Your user existed before the first query ran.</p>
          </div>
        </div>
        <form onSubmit={(event) => event.preventDefault()}>
          <p className="soft">Switch user</p>
          <div className="picks">
            {OTHERS.filter((name) => name !== me?.name).map((name) => (
              <button key={name} type="button" className="second" data-testid="switch" onClick={() => signIn({ name, email: "" })}>{name}</button>
            ))}
          </div>
          <button type="button" className="second" data-testid="sign-out" onClick={signOut}>Sign out</button>
        </form>
      </aside>
    </main>
  );
}

function Messages({ me }: { me: User | undefined }) {
  const { results, status, loadMore } = useAuthedPaginatedQuery(api.messages.page, { channel: CHANNEL }, { initialNumItems: PAGE_ITEMS });
  return (
    <div className="scroll" tabIndex={0} aria-label="Messages">
      {results.length === 0 && <p className="empty">{status === "LoadingFirstPage" ? "Loading messages." : "Nothing here yet. Say something."}</p>}
      <ol className="messages newest-first" role="log">
        {results.map((message) => <Row key={message._id} message={message} isMine={message.author._id === me?._id} />)}
      </ol>
      {status === "CanLoadMore" && <button type="button" className="quiet older" onClick={() => loadMore(PAGE_ITEMS)}>Load older messages</button>}
    </div>
  );
}

function Row({ message: { _id, _creationTime, author, body }, isMine }: { message: Message; isMine: boolean }) {
  const time = new Date(_creationTime).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return (
    <li data-testid="message" data-state={_id.startsWith("pending:") ? "pending" : "sent"} className={isMine ? "mine" : undefined}>
      <Avatar name={author.name} />
      <div>
        <p className="by"><b>{author.name}</b> <time>{time}</time></p>
        <p className="body">{body}</p>
      </div>
    </li>
  );
}

function Composer({ me }: { me: User | undefined }) {
  const send = useAuthedMutation(api.messages.send);
  const shown = useMemo(() => send.withOptimisticUpdate((store, { body }) => showAtOnce(store, me, body)), [send, me]);
  const [error, setError] = useState<string | null>(null);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const body = String(new FormData(event.currentTarget).get("body")).trim();
    event.currentTarget.reset();
    if (body === "") return;
    setError(null);
    shown({ channel: CHANNEL, body }).catch((error: unknown) => setError(String(error)));
  };
  return (
    <form className="composer" autoComplete="off" onSubmit={submit}>
      <label className="hidden" htmlFor="draft">Message</label>
      <input id="draft" name="body" data-testid="draft" maxLength={2000} placeholder="Write a message" />
      <button type="submit" data-testid="send">Send</button>
      {error !== null && <p role="alert">{error}</p>}
    </form>
  );
}

function showAtOnce(localQueryStore: OptimisticLocalStore, me: User | undefined, body: string): void {
  if (me === undefined) return;
  const item = { _id: `pending:${body}`, _creationTime: Date.now(), body, author: { _id: me._id, name: me.name } };
  insertAtTop({ paginatedQuery: api.messages.page, argsToMatch: { channel: CHANNEL }, localQueryStore, item });
}
