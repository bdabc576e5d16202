import { httpRouter } from "convex/server";
import { ConvexError } from "convex/values";
import { api } from "./_generated/api";
import { httpAction } from "./_generated/server";
import { actionsOnly } from "./only";
import { ask } from "./raw";
import { answers } from "./web_cases";

const http = httpRouter();
const route = (method: any, path: string, handler: (ctx: any, request: Request) => Promise<Response>) => http.route({ path, method, handler: httpAction(handler) });

route("POST", "/raw", async (_, request) => Response.json(await ask(await request.json())));
route("GET", "/web", async () => new Response(await answers()));
route("POST", "/allow", async (_, request) => Response.json(await actionsOnly(await request.json())));
http.route({ pathPrefix: "/pre/", method: "GET", handler: httpAction(async (_, request) => new Response(`prefix ${new URL(request.url).pathname}`)) });
http.route({ pathPrefix: "/pre/longer/", method: "GET", handler: httpAction(async () => new Response("longer")) });
route("GET", "/pre/exact", async () => new Response("exact"));
for (const method of ["GET", "POST", "PUT", "DELETE", "PATCH"] as const) {
  route(method, "/echo", async (_, request) => {
    const body = request.body === null ? null : await request.text();
    return Response.json({ method: request.method, url: request.url, body, headers: [...request.headers].filter(([name]) => name.startsWith("x-")) });
  });
}
route("OPTIONS", "/cors", async (_, request) => new Response(null, { status: 204, headers: { "access-control-allow-origin": request.headers.get("origin")!, "access-control-allow-methods": "POST", vary: "origin" } }));
route("POST", "/cors", async () => new Response("ok", { headers: { "access-control-allow-origin": "*" } }));
route("GET", "/stream", async () => {
  const parts = new TransformStream();
  const writer = parts.writable.getWriter();
  const send = async () => {
    for (const n of [1, 2, 3]) {
      await writer.write(new TextEncoder().encode(`data: ${n}\n\n`));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await writer.close();
  };
  void send();
  return new Response(parts.readable, { headers: { "content-type": "text/event-stream" } });
});
route("GET", "/throws", async () => { throw new Error("no answer"); });
route("GET", "/throwsData", async (ctx) => { await ctx.runQuery(api.behave.throwQ, { what: "convexObject" }); return new Response("never"); });
route("GET", "/nothing", async () => "text" as any);
route("GET", "/cookies", async () => { const headers = new Headers(); headers.append("set-cookie", "a=1"); headers.append("set-cookie", "b=2"); return new Response("c", { status: 203, statusText: "Mine", headers }); });
route("GET", "/redirect", async () => Response.redirect("https://example.com/x", 302));
route("GET", "/identity", async (ctx) => { try { return Response.json(await ctx.auth.getUserIdentity()); } catch (error) { return new Response((error as Error).message, { status: 401 }); } });
route("POST", "/form", async (_, request) => { const form = await request.formData(); const file = form.get("file") as any; return Response.json([form.get("a"), file.name, file.type, await file.text()]); });
route("POST", "/bytes", async (_, request) => new Response(await request.arrayBuffer(), { headers: { "content-type": request.headers.get("content-type")! } }));
route("GET", "/large", async () => new Response(new Uint8Array(21 << 20)));
route("GET", "/empty", async () => new Response());
route("POST", "/calls", async (ctx) => {
  const id = await ctx.runMutation(api.behave.add, { a: "http" });
  return Response.json([typeof id, typeof (await ctx.runQuery(api.behave.items)), await ctx.runAction(api.raw.echoA, { value: 5 }), (await ctx.meta.getRequestMetadata()).ip]);
});
route("POST", "/blob", async (ctx, request) => {
  const id = await ctx.storage.store(await request.blob());
  const blob = (await ctx.storage.get(id))!;
  const url = await ctx.storage.getUrl(id);
  await ctx.storage.delete(id);
  return Response.json([blob.type, await blob.text(), typeof url, await ctx.storage.getUrl(id)]);
});
// They answer, or fail, with nothing read of the body.
route("POST", "/unread", async () => new Response("unread", { status: 401 }));
route("GET", "/noBody", async () => new Response("", { status: 205 }));
route("POST", "/unreadThrows", async () => { throw new ConvexError("unread"); });
route("POST", "/unreadCancels", async (_, request) => { await request.body!.cancel(); return new Response("canceled"); });
export default http;
