// The app that the tests show: every commit of it is written down.

import { ConvexReactClient } from "convex/react";
import { makeFunctionReference, type PaginationOptions, type PaginationResult } from "convex/server";
import { StrictMode, useLayoutEffect, type ReactNode } from "react";
import { createRoot } from "react-dom/client";
import { onTestFinished, vi } from "vitest";
import WebSocket from "ws";
import {
  Provisioned, Provisioning, Unprovisioned, UserProvisioningProvider,
  useAuthedMutation, useAuthedPaginatedQuery, useAuthedQuery, useUserProvisioning,
  type UserProvisioning, type UseAuth,
} from "../src/index.js";
import type { Account } from "./account.js";
import type { Chat } from "./chat.js";

interface User {
  _id: string;
  name: string;
}

interface Message {
  _id: string;
  body: string;
  author: { name: string };
}

export const api = {
  ensureUser: makeFunctionReference<"mutation", Record<string, never>, string>("tests:ensureUser"),
  me: makeFunctionReference<"query", Record<string, never>, User | null>("users:me"),
  page: makeFunctionReference<"query", { channel: string; paginationOpts: PaginationOptions }, PaginationResult<Message>>("messages:page"),
  send: makeFunctionReference<"mutation", { channel: string; body: string }, string>("messages:send"),
};

/** One commit: what the provider said, what the package said, and what was shown. */
export interface Seen {
  subject: string | null;
  status: UserProvisioning["status"];
  isProvisioned: boolean;
  me: User | null | undefined;
  shown: string;
}

export interface Screen {
  seen: Seen[];
  /** The package's status at the newest commit. */
  now: UserProvisioning;
  send: (body: string) => Promise<string>;
  text: () => string;
  /** Waits until `holds`; fails saying what was on the screen. */
  until: (holds: (screen: Screen) => boolean) => Promise<void>;
  unmount: () => void;
  /** The statuses that were committed, each change once. */
  way: () => string;
}

export function newClient(chat: Chat): ConvexReactClient {
  const client = new ConvexReactClient(chat.url, {
    webSocketConstructor: WebSocket as unknown as typeof globalThis.WebSocket,
    unsavedChangesWarning: false,
    logger: false,
  });
  onTestFinished(() => client.close());
  return client;
}

function App({ screen, account }: { screen: Screen; account: Account }): ReactNode {
  const now = useUserProvisioning();
  const me = useAuthedQuery(api.me);
  const messages = useAuthedPaginatedQuery(api.page, { channel: "general" }, { initialNumItems: 10 });
  const send = useAuthedMutation(api.send);
  const { userId } = account.useAuth() as { userId?: string | null };
  useLayoutEffect(() => {
    screen.now = now;
    screen.send = (body) => send({ channel: "general", body });
    screen.seen.push({ subject: userId ?? null, status: now.status, isProvisioned: now.isProvisioned, me, shown: screen.text() });
  });
  return (
    <>
      <Provisioning>On the way.</Provisioning>
      <Unprovisioned>Outside{now.error ? `: ${now.error.message}` : "."}</Unprovisioned>
      <Provisioned>Home of {me?.name ?? "…"} with {messages.results.map(({ body }) => body).join(", ")}.</Provisioned>
    </>
  );
}

/** A test's departures from the usual app. */
interface Parts {
  client?: ConvexReactClient;
  useAuth?: UseAuth;
  children?: ReactNode;
}

/** The app with its provider, as a page has it. */
export function page(screen: Screen, account: Account, client: ConvexReactClient, { useAuth = account.useAuth, children }: Parts = {}): ReactNode {
  return (
    <StrictMode>
      <UserProvisioningProvider client={client} useAuth={useAuth} ensureUser={api.ensureUser}>
        <App screen={screen} account={account} />
        {children}
      </UserProvisioningProvider>
    </StrictMode>
  );
}

export function newScreen(element: Element): Screen {
  const screen: Screen = {
    seen: [],
    now: undefined as unknown as UserProvisioning,
    send: () => Promise.reject(new Error("not shown yet")),
    text: () => element.textContent ?? "",
    until: (holds) =>
      vi.waitFor(
        () => {
          if (!holds(screen)) throw new Error(`on the screen: ${screen.text()}; the way so far: ${screen.way()}`);
        },
        { timeout: 30_000, interval: 5 },
      ),
    unmount: () => undefined,
    way: () => screen.seen.map(({ status }) => status).filter((status, n, all) => status !== all[n - 1]).join(" "),
  };
  return screen;
}

/** Shows the app until the test ends. */
export function show(chat: Chat, account: Account, { client = newClient(chat), ...parts }: Parts = {}): Screen {
  const element = document.body.appendChild(document.createElement("div"));
  const root = createRoot(element);
  const screen = newScreen(element);
  screen.unmount = () => root.unmount();
  onTestFinished(() => {
    root.unmount();
    element.remove();
  });
  root.render(page(screen, account, client, parts));
  return screen;
}
