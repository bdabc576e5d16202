// The functions of the chat's server, with their types. Another server's are generated, or written down like this.

import { makeFunctionReference, type PaginationOptions, type PaginationResult } from "convex/server";

export interface User {
  _id: string;
  name: string;
}

export interface Message {
  _id: string;
  _creationTime: number;
  body: string;
  author: User;
}

type Nothing = Record<string, never>;

export const api = {
  users: {
    ensureUser: makeFunctionReference<"mutation", Nothing, string>("users:ensureUser"),
    me: makeFunctionReference<"query", Nothing, User>("users:me"),
    count: makeFunctionReference<"query", Nothing, number>("users:count"),
  },
  messages: {
    page: makeFunctionReference<"query", { channel: string; paginationOpts: PaginationOptions }, PaginationResult<Message>>("messages:page"),
    send: makeFunctionReference<"mutation", { channel: string; body: string }, string>("messages:send"),
  },
};
