// Programs that must not compile, each for the reason on the line above it. `tsc` is the test.

import type { useAuth as useClerkAuthOfAnApp } from "./types.clerk.js";
import { ConvexReactClient } from "convex/react";
import { makeFunctionReference, type FunctionReference, type PaginationOptions, type PaginationResult } from "convex/server";
import { UserProvisioningProvider, useAuthedMutation, useAuthedPaginatedQuery, useAuthedQuery, useUserProvisioning } from "../src/index.js";

declare const api: {
  ensureUser: FunctionReference<"mutation", "public", {}, string>;
  me: FunctionReference<"query", "public", {}, { name: string }>;
  list: FunctionReference<"query", "public", { channel: string }, string[]>;
  internalList: FunctionReference<"query", "internal", { channel: string }, string[]>;
  page: FunctionReference<"query", "public", { channel: string; paginationOpts: PaginationOptions }, PaginationResult<{ body: string }>>;
  send: FunctionReference<"mutation", "public", { body: string }, number>;
};
declare const client: ConvexReactClient;
declare const useAuth: typeof useClerkAuthOfAnApp;
const untyped = makeFunctionReference<"query">("users:me");

export function Queries() {
  const me = useAuthedQuery(api.me);
  const list: string[] | undefined = useAuthedQuery(api.list, { channel: "general" });
  useAuthedQuery(api.list, "skip");
  useAuthedQuery(untyped, { anything: 1 });
  // @ts-expect-error it is undefined until its user exists
  me.name;
  // @ts-expect-error a query that needs arguments is given them
  useAuthedQuery(api.list);
  // @ts-expect-error of their type
  useAuthedQuery(api.list, { channel: 7 });
  // @ts-expect-error and no others
  useAuthedQuery(api.list, { channel: "general", more: true });
  // @ts-expect-error a mutation is no query
  useAuthedQuery(api.send, { body: "hello" });
  // @ts-expect-error a result has the type of its function
  const numbers: number[] | undefined = useAuthedQuery(api.list, { channel: "general" });
  // @ts-expect-error a query is named by its reference
  useAuthedQuery("messages:list", { channel: "general" });
  return [me?.name, list?.length, numbers];
}

export function PaginatedQueries() {
  const { results } = useAuthedPaginatedQuery(api.page, { channel: "general" }, { initialNumItems: 10 });
  const bodies: string[] = results.map(({ body }) => body);
  // @ts-expect-error one that is not paginated
  useAuthedPaginatedQuery(api.list, { channel: "general" }, { initialNumItems: 10 });
  // @ts-expect-error pages have a size
  useAuthedPaginatedQuery(api.page, { channel: "general" });
  return bodies;
}

export async function Mutations() {
  const send = useAuthedMutation(api.send);
  const sent: number = await send({ body: "hello" });
  // @ts-expect-error arguments have the function's type
  await send({ body: 7 });
  // @ts-expect-error a query is no mutation
  useAuthedMutation(api.me);
  return sent;
}

export function Providers() {
  const { error } = useUserProvisioning();
  // @ts-expect-error the error is there only when something went wrong
  error.reason;
  return (
    <>
      <UserProvisioningProvider client={client} useAuth={useAuth} ensureUser={api.ensureUser} />
      {/* @ts-expect-error the provisioning function is named */}
      <UserProvisioningProvider client={client} useAuth={useAuth} />
      {/* @ts-expect-error it is a mutation */}
      <UserProvisioningProvider client={client} useAuth={useAuth} ensureUser={api.me} />
      {/* @ts-expect-error that takes no arguments */}
      <UserProvisioningProvider client={client} useAuth={useAuth} ensureUser={api.send} />
      {/* @ts-expect-error a hook tells who is signed in, and fetches tokens */}
      <UserProvisioningProvider client={client} useAuth={() => ({ isSignedIn: true })} ensureUser={api.ensureUser} />
    </>
  );
}
