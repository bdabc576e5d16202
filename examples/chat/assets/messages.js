// Channels, and the messages of the open one: a live paginated query, and an optimistic update on send.

import { client } from "./connection.js";
import { byId, paintAvatar, showError } from "./page.js";

const PAGE_ITEMS = 30;
const GROUP_WITHIN_MS = 5 * 60 * 1000;

let me = null;
let channel = null;
let stopMessages = null;
let page = { results: [], status: "LoadingFirstPage", loadMore: () => false };
const rows = new Map();

export function showChannels(names) {
  byId("channels").replaceChildren(
    ...names.map((name) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: name });
      Object.assign(button.dataset, { testid: "channel", channel: name });
      button.addEventListener("click", () => openChannel(name));
      const item = document.createElement("li");
      item.append(button);
      return item;
    }),
  );
  const linked = names.find((name) => hashOf(name) === location.hash);
  openChannel(names.includes(channel) ? channel : (linked ?? names[0]));
}

const hashOf = (name) => `#${encodeURIComponent(name)}`;

function openChannel(name) {
  for (const button of byId("channels").querySelectorAll("button")) {
    button.setAttribute("aria-current", button.dataset.channel === name ? "true" : "false");
  }
  if (name === undefined || name === channel) return;
  channel = name;
  history.replaceState(null, "", hashOf(name));
  byId("channel-title").textContent = `# ${name}`;
  stopMessages?.();
  rows.clear();
  byId("messages").replaceChildren();
  stopMessages = client.onPaginatedUpdate_experimental(
    "messages:page",
    { channel: name },
    { initialNumItems: PAGE_ITEMS },
    (result) => {
      if (name !== channel) return;
      page = result;
      showMessages();
    },
    showError,
  );
}

/** Marks the messages of this user as one's own; null when nobody is signed in. */
export function showMessagesOf(user) {
  me = user;
  showMessages();
}

export const loadOlder = () => page.loadMore(PAGE_ITEMS);

/** Newest first comes in; oldest first goes on the screen, and rows that stay keep their place. */
function showMessages() {
  const list = byId("messages");
  const scroll = byId("scroll");
  const fromBottom = scroll.scrollHeight - scroll.scrollTop;
  const stick = fromBottom - scroll.clientHeight < 40;
  const seen = new Set();
  let previous = null;
  let after = null;
  for (const message of page.results.toReversed()) {
    seen.add(message._id);
    const row = rows.get(message._id) ?? newRow(message);
    paintRow(row, message, previous);
    const place = after === null ? list.firstChild : after.nextSibling;
    if (row !== place) list.insertBefore(row, place);
    previous = message;
    after = row;
  }
  for (const [id, row] of rows) {
    if (!seen.has(id)) {
      row.remove();
      rows.delete(id);
    }
  }
  const loading = page.status === "LoadingFirstPage" || page.status === "LoadingMore";
  byId("older").hidden = page.status !== "CanLoadMore";
  byId("empty").hidden = seen.size > 0;
  byId("empty").textContent = loading ? "Loading messages." : "Nothing here yet. Say something.";
  byId("channel-note").textContent = page.status === "LoadingMore" ? "Loading older messages" : "";
  scroll.scrollTop = stick ? scroll.scrollHeight : scroll.scrollHeight - fromBottom;
}

function newRow(message) {
  const row = document.createElement("li");
  row.dataset.testid = "message";
  row.innerHTML = `<span class="avatar" aria-hidden="true"></span><div><p class="by"><b></b> <time></time></p><p class="body"></p></div>`;
  rows.set(message._id, row);
  return row;
}

function paintRow(row, message, previous) {
  const sentAt = new Date(message._creationTime);
  const same = previous?.author._id === message.author._id;
  const grouped = same && message._creationTime - previous._creationTime < GROUP_WITHIN_MS;
  row.dataset.id = message._id;
  row.dataset.state = message.pending ? "pending" : "sent";
  row.classList.toggle("grouped", grouped);
  row.classList.toggle("mine", message.author._id === me?._id);
  row.querySelector("b").textContent = message.author.name;
  row.querySelector("time").textContent = clock(sentAt);
  row.querySelector("time").dateTime = sentAt.toISOString();
  row.querySelector(".body").textContent = message.body;
  paintAvatar(row.querySelector(".avatar"), message.author._id, message.author.name);
}

function clock(date) {
  const today = date.toDateString() === new Date().toDateString();
  return date.toLocaleString([], { ...(!today && { month: "short", day: "numeric" }), hour: "2-digit", minute: "2-digit" });
}


/** Shows the message at once, at the top of the newest page, until the server's own result has it. */
export function sendMessage(body) {
  const sent = { _id: `pending:${crypto.randomUUID()}`, _creationTime: Date.now(), author: { _id: me._id, name: me.name }, body };
  byId("scroll").scrollTop = byId("scroll").scrollHeight;
  const optimisticUpdate = (store, { channel }) => {
    for (const { args, value } of store.getAllQueries("messages:page")) {
      if (value === undefined || args.channel !== channel || args.paginationOpts.cursor !== null) continue;
      store.setQuery("messages:page", args, { ...value, page: [{ ...sent, pending: true }, ...value.page] });
    }
  };
  client.mutation("messages:send", { channel, body }, { optimisticUpdate }).catch((error) => {
    showError(error);
    if (byId("draft").value === "") byId("draft").value = body;
  });
}
