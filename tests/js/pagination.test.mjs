// Paginated live queries: pages that grow and split without a gap or an overlap, and keep their borders.

import assert from "node:assert/strict";
import { BaseConvexClient } from "convex/browser";
import { atEnd, bodies, Chat, connect, failure, person, Proxy, quietly, signIn, test, Trace } from "./harness.mjs";

const CHANNEL = "general";
const PAGE = "messages:page";

/** A client signed in as the writer, and what it has written, newest first. */
async function writer(t, chat) {
  const client = connect(t, chat);
  await signIn(client, chat, person("Ada")).provisioned();
  const written = [];
  const write = async (count) => {
    for (let n = 0; n < count; n++) {
      const body = `message ${written.length}`;
      await client.mutation("messages:send", { channel: CHANNEL, body });
      written.unshift(body);
    }
  };
  return { written, write };
}

function watchPages(client, initialNumItems) {
  const trace = new Trace();
  client.onPaginatedUpdate_experimental(PAGE, { channel: CHANNEL }, { initialNumItems }, (page) => trace.push(page), (error) => trace.push({ error }));
  return trace;
}

const shows = (count, status) => (page) => page.results?.length === count && page.status === status;

test("pages load one after another, to the end", async (t) => {
  const chat = await Chat.start(t);
  const { written, write } = await writer(t, chat);
  await write(12);
  const pages = watchPages(connect(t, chat), 5);
  await pages.until(shows(5, "CanLoadMore"));
  assert.equal(pages.last.loadMore(5), true);
  assert.equal(pages.last.status, "LoadingMore");
  await pages.until(shows(10, "CanLoadMore"));
  pages.last.loadMore(5);
  await pages.until(shows(12, "Exhausted"));
  assert.equal(pages.last.loadMore(5), false);
  assert.deepEqual(bodies(pages.last.results), written);
  assert.deepEqual(pages.all.filter((page) => page.error), []);
});

test("whatever is written while pages load and split, each result is the newest messages without a gap", async (t) => {
  const chat = await Chat.start(t);
  const { written, write } = await writer(t, chat);
  await write(30);
  const reader = connect(t, chat);
  const pages = watchPages(reader, 4);
  await pages.until(shows(4, "CanLoadMore"));
  for (let round = 1; round <= 4; round++) {
    const writing = write(6);
    pages.last.loadMore(4);
    await writing;
    await pages.until((page) => page.results[0]?.body === written[0] && page.status === "CanLoadMore");
    // Ten messages more than the first page's four: the client has split it in the meantime.
    assert.equal(pages.last.results.length, 4 + 10 * round);
  }
  for (const page of pages.all) {
    assert.equal(page.error, undefined);
    const shown = bodies(page.results);
    const from = written.indexOf(shown[0]);
    assert.deepEqual(shown, written.slice(from, from + shown.length), "in order, no gap, nothing twice");
  }
  assert.deepEqual(reader.log.complaints, []);
});

test("a page that reached the end takes in all that is written", async (t) => {
  const chat = await Chat.start(t);
  const { write } = await writer(t, chat);
  const first = watchPages(connect(t, chat), 3);
  await first.until(shows(0, "Exhausted"));
  await write(5);
  await first.until(shows(5, "Exhausted"));
});

/** Two neighbouring pages on the base client, which shows cursors and journals. */
async function neighbours(t, address) {
  const seen = new Trace();
  const client = new BaseConvexClient(address.url, () => seen.push(pages()), quietly());
  atEnd(t, () => client.close());
  const args = [{ channel: CHANNEL, paginationOpts: { numItems: 5, cursor: null } }];
  const pages = () => args.map((args) => client.localQueryResult(PAGE, args));
  client.subscribe(PAGE, args[0]);
  const [first] = await seen.until(([first]) => first);
  args.push({ channel: CHANNEL, paginationOpts: { numItems: 5, cursor: first.continueCursor } });
  client.subscribe(PAGE, args[1]);
  await seen.until(([, second]) => second);
  return { client, seen, args, pages, journals: () => args.map((args) => client.queryJournal(PAGE, args)) };
}

test("after a reconnect the borders are where they were, and what was written meanwhile is inside", async (t) => {
  const chat = await Chat.start(t);
  const { written, write } = await writer(t, chat);
  await write(12);
  const proxy = await Proxy.start(t, chat);
  const { client, seen, pages, journals } = await neighbours(t, proxy);
  const before = { pages: pages(), journals: journals() };
  assert.ok(before.journals.every((journal) => typeof journal === "string"), "a page's end is in its journal");
  proxy.cutNow();
  await write(3);
  await seen.until(([first]) => first?.page.length === 8, "the first page has grown by three");
  assert.equal(client.connectionState().connectionCount, 2);
  const [first, second] = pages();
  assert.deepEqual(bodies([...first.page, ...second.page]), written.slice(0, 13));
  assert.equal(first.continueCursor, before.pages[0].continueCursor);
  assert.deepEqual(second, before.pages[1]);
  assert.deepEqual(journals(), before.journals);
  await write(1);
  await seen.until(([first]) => first?.page.length === 9, "and it is live again");
});

test("a journal pins a page's end in another client and after a restart of the server", async (t) => {
  const chat = await Chat.start(t);
  const { written, write } = await writer(t, chat);
  await write(8);
  const { args, journals } = await neighbours(t, chat);
  const [journal] = journals();
  await write(4);
  await chat.kill();
  await chat.start();
  const seen = new Trace();
  const client = new BaseConvexClient(chat.url, () => seen.push(client.localQueryResult(PAGE, args[0])), quietly());
  atEnd(t, () => client.close());
  client.subscribe(PAGE, args[0], { journal });
  const first = await seen.until((page) => page);
  assert.deepEqual(bodies(first.page), written.slice(0, 9));
});

test("a cursor that is none is an error that makes clients start again", async (t) => {
  const chat = await Chat.start(t);
  const client = connect(t, chat);
  const paginationOpts = { numItems: 5, cursor: "nonsense" };
  const data = await failure(client.query(PAGE, { channel: CHANNEL, paginationOpts }));
  assert.equal(data.isConvexSystemError, true);
  assert.equal(data.paginationError, "InvalidCursor");
});
