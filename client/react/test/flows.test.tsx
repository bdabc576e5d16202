// @vitest-environment happy-dom
// The package in an app in StrictMode, against a server that keeps the promise itself and one that does not.

import { useCallback, useLayoutEffect, useSyncExternalStore } from "react";
import { renderToString } from "react-dom/server";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { useAuthedMutation, useUserProvisioning, type UseAuth0, type UseOwnAuth } from "../src/index.js";
import { Account, ADA, BARBARA, GRACE, LINUS } from "./account.js";
import { api, newClient, show, type Screen } from "./app.js";
import { startChat } from "./chat.js";

const isHome = (name: string) => (screen: Screen) => screen.text().startsWith(`Home of ${name} `);
const isOutside = (screen: Screen) => screen.text() === "Outside.";

/** No user was ever shown another's user, nor a user before being provisioned, nor an answer of "nobody". */
function assertHonest(screen: Screen) {
  for (const { subject, isProvisioned, status, me } of screen.seen) {
    expect(me).not.toBeNull();
    expect(isProvisioned).toBe(status === "provisioned");
    if (me) expect([isProvisioned, me.name.toLowerCase()]).toEqual([true, subject]);
  }
}

beforeEach(() => {
  vi.spyOn(console, "error").mockImplementation(() => undefined);
});

afterEach(() => {
  vi.restoreAllMocks();
});

const logged = () => vi.mocked(console.error).mock.calls.map(([text]) => String(text));

describe.each([{ gate: true }, { gate: false }])("a server with gate: $gate", ({ gate }) => {
  test("cold start, signed in: provisions on mount", async () => {
    const chat = await startChat({ gate });
    const client = newClient(chat);
    const calls = vi.spyOn(client, "mutation");
    const screen = show(chat, new Account(chat, ADA), { client });
    await screen.until(isHome("Ada"));
    expect(screen.way()).toBe("provisioning provisioned");
    assertHonest(screen);
    expect(calls).toHaveBeenCalledTimes(1);
    expect(await chat.query("users:count")).toBe(1);
    expect(logged()).toEqual([]);
  });

  test("a sign-in during the session provisions, a sign-out ends it, and a second sign-in is a new one", async () => {
    const chat = await startChat({ gate });
    const account = new Account(chat);
    const screen = show(chat, account);
    await screen.until(({ text }) => text() === "On the way.");
    account.signOut();
    await screen.until(isOutside);
    account.signIn(ADA);
    await screen.until(isHome("Ada"));
    account.signOut();
    await screen.until(isOutside);
    expect(screen.now.isProvisioned).toBe(false);
    account.signIn(ADA);
    await screen.until(isHome("Ada"));
    expect(screen.way()).toBe("loading unprovisioned provisioning provisioned unprovisioned provisioning provisioned");
    assertHonest(screen);
    expect(await chat.query("users:count")).toBe(1);
    expect(logged()).toEqual([]);
  });

  test("one who is refused hears the app's sentence, and comes in by retry without a new login", async () => {
    const chat = await startChat({ gate, invited: "example.com" });
    const account = new Account(chat, { ...ADA, email: "ada@elsewhere.test" });
    const screen = show(chat, account);
    await screen.until(({ now }) => now?.status === "refused");
    expect(screen.text()).toBe("Outside: This chat is for people with an address at example.com.");
    expect(screen.now.error).toMatchObject({ reason: "Refused", data: { code: "NotInvited" } });
    expect(logged()).toEqual(["The user was not provisioned: This chat is for people with an address at example.com."]);
    await expect(screen.send("let me in")).rejects.toMatchObject({ reason: "Refused" });
    screen.now.retry();
    await screen.until(({ way }) => way().endsWith("refused provisioning refused"));
    account.person = { ...ADA, email: "ada@example.com" };
    screen.now.retry();
    await screen.until(isHome("Ada"));
    expect(screen.way()).toBe("provisioning refused provisioning refused provisioning provisioned");
    expect(screen.now.error).toBeNull();
    assertHonest(screen);
  });

  test("one whose refusal overtakes the package's own call hears the sentence all the same", async () => {
    const chat = await startChat({ gate, invited: "example.com" });
    const account = new Account(chat, { ...ADA, email: "ada@elsewhere.test" });
    // As on a busy machine: what is due at once runs long after the server has answered.
    const real = globalThis.setTimeout;
    const late = (run: () => void, ms = 0) => real(run, ms === 0 ? 200 : ms);
    vi.stubGlobal("setTimeout", late);
    onTestFinished(() => void vi.unstubAllGlobals());
    const screen = show(chat, account);
    await screen.until(({ now }) => now?.status === "refused");
    expect(screen.text()).toBe("Outside: This chat is for people with an address at example.com.");
    expect(screen.way()).toBe("provisioning refused");
    account.person = { ...ADA, email: "ada@example.com" };
    screen.now.retry();
    await screen.until(isHome("Ada"));
    assertHonest(screen);
  });

  // The client asks with one token after another before it gives up; a server without a gate accepts the first.
  test.each([1, 2, 3])("one who is refused makes room for another while the client is at token %i", async (tokens) => {
    const chat = await startChat({ gate, invited: "example.com" });
    const account = new Account(chat, { ...ADA, email: "ada@elsewhere.test" });
    const screen = show(chat, account);
    await screen.until(({ now }) => now?.status === "refused" && (!gate || account.tokens >= tokens));
    account.signIn({ ...GRACE, email: "grace@example.com" });
    await screen.until(isHome("Grace"));
    account.signOut();
    await screen.until(isOutside);
    assertHonest(screen);
  });

  test.each([1, 2, 3])("a retry while the client is at token %i hears no answer to what was asked before it", async (tokens) => {
    const chat = await startChat({ gate, invited: "example.com" });
    const account = new Account(chat, { ...ADA, email: "ada@elsewhere.test" });
    const screen = show(chat, account);
    await screen.until(({ now }) => now?.status === "refused" && (!gate || account.tokens >= tokens));
    account.person = { ...ADA, email: "ada@example.com" };
    screen.now.retry();
    await screen.until(isHome("Ada"));
    expect(screen.way()).toBe("provisioning refused provisioning provisioned");
    assertHonest(screen);
  });

  test("a provisioning that fails comes right without a new login", async () => {
    const chat = await startChat({ gate });
    chat.provisioning("fail");
    const screen = show(chat, new Account(chat, ADA));
    if (gate) {
      // The server asks to be tried again, and the client does so by itself.
      await screen.until(({ now }) => now?.status === "provisioning");
      chat.provisioning("go");
    } else {
      await screen.until(({ now }) => now?.status === "failed");
      expect(screen.now.error).toMatchObject({ reason: "Failed" });
      expect(logged()).toHaveLength(1);
      chat.provisioning("go");
      screen.now.retry();
    }
    await screen.until(isHome("Ada"));
    expect(screen.way()).not.toContain("unprovisioned");
    assertHonest(screen);
  });

  test("from one person to another and back, and faster than answers come: no stale answer says a word", async () => {
    const chat = await startChat({ gate });
    const account = new Account(chat, ADA);
    const screen = show(chat, account);
    await screen.until(isHome("Ada"));
    account.signIn(GRACE);
    await screen.until(isHome("Grace"));
    chat.provisioning("hold");
    account.signIn(ADA);
    // Whom a server knows it does not keep waiting.
    account.signIn(BARBARA);
    await screen.until(({ now }) => now.status === "provisioning");
    account.signIn(LINUS);
    chat.provisioning("go");
    await screen.until(isHome("Linus"));
    expect(screen.way()).toBe("provisioning provisioned provisioning provisioned provisioning provisioned");
    assertHonest(screen);
    expect(logged()).toEqual([]);
  });

  test("one who leaves while being provisioned is out at once, and the late answer changes nothing", async () => {
    const chat = await startChat({ gate });
    chat.provisioning("hold");
    const account = new Account(chat, ADA);
    const screen = show(chat, account);
    await chat.held();
    account.signOut();
    await screen.until(isOutside);
    chat.provisioning("go");
    await vi.waitFor(async () => expect(await chat.query("users:count")).toBe(1), { timeout: 30_000 });
    expect(screen.way()).toBe("provisioning unprovisioned");
    assertHonest(screen);
  });

  test("a mutation waits for its person, and goes with that person", async () => {
    const chat = await startChat({ gate });
    chat.provisioning("hold");
    const account = new Account(chat, ADA);
    const screen = show(chat, account);
    await screen.until(({ now }) => now?.status === "provisioning");
    const sent = [screen.send("first"), screen.send("second")];
    chat.provisioning("go");
    await Promise.all(sent);
    await screen.until(({ text }) => text() === "Home of Ada with second, first.");
    chat.provisioning("hold");
    account.signIn(GRACE);
    await screen.until(({ now }) => now.status === "provisioning");
    const late = screen.send("by nobody");
    account.signOut();
    await expect(late).rejects.toMatchObject({ name: "NotProvisionedError", reason: "SignedOut" });
    await expect(screen.send("by nobody")).rejects.toMatchObject({ reason: "SignedOut" });
    chat.provisioning("go");
  });

  test("a mutation that a component calls as it mounts waits too, each time StrictMode has it mount", async () => {
    const chat = await startChat({ gate });
    const sent: Promise<string>[] = [];
    const SendsAtOnce = () => {
      const send = useAuthedMutation(api.send);
      useLayoutEffect(() => void sent.push(send({ channel: "general", body: "at once" })), [send]);
      return null;
    };
    const screen = show(chat, new Account(chat, ADA), { children: <SendsAtOnce /> });
    await screen.until(isHome("Ada"));
    expect(sent).toHaveLength(2);
    await Promise.all(sent);
  });

  test("a page that is mounted anew on the same client, as by hot reload, comes in again", async () => {
    const chat = await startChat({ gate });
    const account = new Account(chat, ADA);
    const client = newClient(chat);
    for (let n = 0; n < 3; n++) {
      const screen = show(chat, account, { client });
      await screen.until(isHome("Ada"));
      assertHonest(screen);
      screen.unmount();
    }
    expect(await chat.query("users:count")).toBe(1);
  });

  test("another organisation of the same person: on the way for a moment, never outside", async () => {
    const chat = await startChat({ gate });
    const account = new Account(chat, ADA);
    const screen = show(chat, account);
    await screen.until(isHome("Ada"));
    account.organization("org_1");
    await screen.until(({ way }) => way() === "provisioning provisioned provisioning provisioned");
    assertHonest(screen);
  });

  test("a token that is not there yet right after the sign-up is waited for", async () => {
    const chat = await startChat({ gate });
    const account = new Account(chat, ADA);
    account.emptyHanded = 3;
    const screen = show(chat, account);
    await screen.until(isHome("Ada"));
    expect(screen.way()).toBe("provisioning provisioned");
    assertHonest(screen);
  });

  test.each([
    ["one's own", ownAuth],
    ["Auth0's", auth0],
  ])("a hook in %s shape does as well", async (_, shape) => {
    const chat = await startChat({ gate });
    const account = new Account(chat, ADA);
    const screen = show(chat, account, { useAuth: shape(account) });
    await screen.until(isHome("Ada"));
    account.signIn(GRACE);
    await screen.until(isHome("Grace"));
    account.signOut();
    await screen.until(isOutside);
    expect(screen.way()).toBe("provisioning provisioned provisioning provisioned unprovisioned");
    assertHonest(screen);
  });
});

test("a hook without its provider says what it needs", () => {
  const Lost = () => useUserProvisioning().status;
  expect(() => renderToString(<Lost />)).toThrow("useUserProvisioning needs a <UserProvisioningProvider> above it.");
});

function ownAuth(account: Account): UseOwnAuth {
  return () => {
    const { isLoaded, isSignedIn, sessionId } = useSyncExternalStore(account.listen, account.current);
    const fetchAccessToken = useCallback(() => account.getToken(), [sessionId]);
    return { isLoading: !isLoaded, isAuthenticated: isSignedIn ?? false, fetchAccessToken };
  };
}

function auth0(account: Account): UseAuth0 {
  return () => {
    const { isLoaded, isSignedIn, sessionId } = useSyncExternalStore(account.listen, account.current);
    const getAccessTokenSilently = useCallback(
      async () => {
        const token = await account.getToken();
        if (token === null) throw new Error("login_required");
        return { id_token: token };
      },
      [sessionId],
    );
    return { isLoading: !isLoaded, isAuthenticated: isSignedIn ?? false, getAccessTokenSilently };
  };
}
