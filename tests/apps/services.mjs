// A server that plays the services which packages talk to: it answers by what it is asked alone.

import { once } from "node:events";
import http from "node:http";

/** Starts the services, which end with `t`. Gives their address. */
export async function startServices(t) {
  const server = http.createServer(async (request, response) => {
    // Some clients hand headers on, and the date is another one in a second.
    response.sendDate = false;
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    const { pathname, searchParams } = new URL(request.url, "http://services");
    const answer = (value, status = 200, headers = {}) => {
      response.writeHead(status, { "Content-Type": "application/json", ...headers });
      response.end(JSON.stringify(value));
    };
    if (pathname.startsWith("/openai/v1/")) return openai(pathname.slice("/openai/v1".length), request, body, answer, response);
    if (pathname.startsWith("/v1/")) return stripe(pathname.slice("/v1".length), request, searchParams, body, answer);
    if (pathname.startsWith("/resend/")) return resend(pathname.slice("/resend".length), request, body, answer);
    answer({ error: { message: `no service at ${pathname}` } }, 404);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

const WORDS = ["one", " two", " three 🙂"];
const completion = (message, finish_reason = "stop") => ({
  id: "c1", object: "chat.completion", created: 1, model: "m", choices: [{ index: 0, message: { role: "assistant", ...message }, finish_reason }],
  usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 },
});
const chunk = (delta, finish_reason = null) => ({ id: "c1", object: "chat.completion.chunk", created: 1, model: "m", choices: [{ index: 0, delta, finish_reason }] });

function openai(path, request, body, answer, response) {
  if (path === "/models") return answer({ object: "list", data: [{ id: "m1" }, { id: "m2" }] }, 200, { "X-Authorization": request.headers.authorization });
  if (path === "/files") {
    const [, filename] = /filename="([^"]*)"/.exec(body);
    return answer({ id: "f1", filename, bytes: body.includes("a,b\n1,2\n"), type: request.headers["content-type"].split(";")[0] });
  }
  const asked = JSON.parse(body);
  if (path === "/embeddings") {
    const numbers = [0.5, -1.25, 3];
    const embedding = asked.encoding_format === "base64" ? Buffer.from(Float32Array.from(numbers).buffer).toString("base64") : numbers;
    return answer({ object: "list", data: [{ object: "embedding", index: 0, embedding }], model: "m", usage: { prompt_tokens: 1, total_tokens: 1 } });
  }
  if (asked.model === "refused") return answer({ error: { message: "You shall not pass", type: "invalid_request_error", code: "no" } }, 400, { "x-request-id": "r1" });
  if (asked.model === "silent") return;
  if (asked.model === "busy" && request.headers["x-stainless-retry-count"] === "0") {
    return answer({ error: { message: "later" } }, 429, { "retry-after-ms": "1" });
  }
  if (asked.model === "json") return answer(completion({ content: '{"name":"Ada","age":36}' }));
  if (asked.model === "tools") {
    const result = asked.messages.find(({ role }) => role === "tool");
    if (result) return answer(completion({ content: `It is ${result.content}.` }));
    return answer(completion({ content: null, tool_calls: [{ id: "t1", type: "function", function: { name: "add", arguments: '{"a":2,"b":3}' } }] }, "tool_calls"));
  }
  if (!asked.stream) return answer(completion({ content: WORDS.join("") }));
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  const send = (text) => response.write(text);
  if (asked.model === "endless") {
    const more = () => {
      while (!response.closed && send(`data: ${JSON.stringify(chunk({ content: "more " }))}\n\n`));
      response.once("drain", more);
    };
    return more();
  }
  // Events are cut anywhere, characters too.
  const events = [...WORDS.map((content) => chunk({ content })), chunk({}, "stop"), { ...chunk({}), choices: [], usage: completion({}).usage }];
  const bytes = Buffer.from(`${events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("")}data: [DONE]\n\n`);
  let at = 0;
  const next = () => {
    if (at >= bytes.length) return response.end();
    send(bytes.subarray(at, (at += 17)));
    setImmediate(next);
  };
  next();
}

function stripe(path, request, query, body, answer) {
  const ids = ["cus_1", "cus_2", "cus_3"];
  const sent = Object.fromEntries(new URLSearchParams(body));
  if (request.method === "GET" && path === "/customers") {
    const from = ids.indexOf(query.get("starting_after")) + 1;
    const data = ids.slice(from, from + Number(query.get("limit"))).map((id) => ({ id, object: "customer" }));
    return answer({ object: "list", data, has_more: from + data.length < ids.length, url: "/v1/customers" });
  }
  if (path === "/customers") return answer({ id: "cus_9", object: "customer", sent, key: request.headers["idempotency-key"], auth: request.headers.authorization });
  if (path === "/checkout/sessions") return answer({ id: "cs_1", object: "checkout.session", metadata: sent });
  answer({ error: { type: "invalid_request_error", code: "resource_missing", message: `No such charge: ${path}` } }, 404, { "request-id": "req_1" });
}

function resend(path, request, body, answer) {
  const sent = JSON.parse(body);
  if (sent.from === "refused@example.com") return answer({ name: "validation_error", message: "Not this one", statusCode: 422 }, 422);
  answer(path === "/emails" ? { id: "e1", sent, auth: request.headers.authorization } : { data: sent.map((_, index) => ({ id: `e${index}` })) });
}
