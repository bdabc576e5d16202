// @vitest-environment happy-dom
// A page that a server rendered, and that a browser takes over: nothing on it changes in between.

import { hydrateRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { expect, onTestFinished, test, vi } from "vitest";
import { Account, ADA } from "./account.js";
import { newClient, newScreen, page } from "./app.js";
import { startChat } from "./chat.js";

test.each([
  ["a provider that knows on the server already", true],
  ["a provider that knows only in the browser", false],
])("%s", async (_, knows) => {
  const chat = await startChat({ gate: true });
  const element = document.body.appendChild(document.createElement("div"));
  const complaints = vi.spyOn(console, "error");
  const rendered = renderToString(page(newScreen(element), new Account(chat, knows ? ADA : undefined), newClient(chat)));
  expect(rendered.replaceAll("<!-- -->", "")).toBe("On the way.");
  element.innerHTML = rendered;
  const account = new Account(chat, knows ? ADA : undefined);
  const screen = newScreen(element);
  const root = hydrateRoot(element, page(screen, account, newClient(chat)));
  onTestFinished(() => root.unmount());
  if (!knows) {
    await screen.until(({ now }) => now?.status === "loading");
    account.signIn(ADA);
  }
  await screen.until(({ text }) => text().startsWith("Home of Ada"));
  expect(screen.way()).toBe(knows ? "provisioning provisioned" : "loading provisioning provisioned");
  for (const { shown } of screen.seen) expect(shown).not.toContain("Outside");
  expect(complaints.mock.calls).toEqual([]);
});

test("a page for nobody is the same on both sides", async () => {
  const chat = await startChat({ gate: true });
  const element = document.body.appendChild(document.createElement("div"));
  const complaints = vi.spyOn(console, "error");
  const account = new Account(chat);
  account.signOut();
  element.innerHTML = renderToString(page(newScreen(element), account, newClient(chat)));
  expect(element.textContent).toBe("Outside.");
  const screen = newScreen(element);
  const root = hydrateRoot(element, page(screen, account, newClient(chat)));
  onTestFinished(() => root.unmount());
  await screen.until(({ seen }) => seen.length > 0);
  expect(screen.way()).toBe("unprovisioned");
  expect(complaints.mock.calls).toEqual([]);
});
