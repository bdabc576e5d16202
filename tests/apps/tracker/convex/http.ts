import { httpRouter } from "convex/server";
import { internal } from "./_generated/api";
import { httpAction } from "./_generated/server";

const http = httpRouter();

const hex = (buffer: ArrayBuffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");

http.route({
  path: "/webhooks/github",
  method: "POST",
  handler: httpAction(async (ctx, request) => {
    const body = await request.text();
    const encoder = new TextEncoder();
    const key = await crypto.subtle.importKey("raw", encoder.encode(process.env.GITHUB_SECRET!), { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
    const signature = `sha256=${hex(await crypto.subtle.sign("HMAC", key, encoder.encode(body)))}`;
    if (request.headers.get("X-Hub-Signature-256") !== signature) return new Response("Invalid signature", { status: 401 });
    const isNew = await ctx.runMutation(internal.integrations.received, {
      externalId: request.headers.get("X-GitHub-Delivery") ?? "",
      payload: JSON.parse(body),
    });
    return Response.json({ ok: true, isNew }, { status: isNew ? 202 : 200 });
  }),
});

http.route({
  pathPrefix: "/files/",
  method: "GET",
  handler: httpAction(async (ctx, request) => {
    const { pathname, searchParams } = new URL(request.url);
    const blob = await ctx.storage.get(pathname.split("/").at(-1)! as never);
    if (blob === null) return new Response("Not found", { status: 404 });
    const headers = new Headers({ "Cache-Control": "max-age=60", Vary: "Origin" });
    if (searchParams.has("download")) headers.set("Content-Disposition", `attachment; filename="${searchParams.get("download")}"`);
    return new Response(blob, { headers });
  }),
});

http.route({
  path: "/upload",
  method: "POST",
  handler: httpAction(async (ctx, request) => {
    const form = await request.formData();
    const file = form.get("file");
    if (!(file instanceof File)) return new Response("No file", { status: 400 });
    const storageId = await ctx.storage.store(file);
    return new Response(JSON.stringify({ storageId, name: file.name, title: form.get("title") }), {
      status: 200,
      headers: { "Access-Control-Allow-Origin": "*", Vary: "origin" },
    });
  }),
});
http.route({
  path: "/upload",
  method: "OPTIONS",
  handler: httpAction(async (_, request) => {
    const headers = request.headers;
    if (headers.get("Origin") !== null && headers.get("Access-Control-Request-Method") !== null) {
      return new Response(null, { headers: new Headers({ "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "POST", "Access-Control-Max-Age": "86400" }) });
    }
    return new Response();
  }),
});

export default http;
