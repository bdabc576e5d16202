import { httpRouter } from "convex/server";
import { api } from "./_generated/api";
import { httpAction } from "./_generated/server";

const http = httpRouter();
http.route({
  path: "/events",
  method: "GET",
  handler: httpAction(async (ctx) => {
    const { readable, writable } = new TransformStream();
    const writer = writable.getWriter();
    const encoder = new TextEncoder();
    void (async () => {
      for (const kind of await ctx.runQuery(api.orders.events)) await writer.write(encoder.encode(`data: ${kind}\n\n`));
      await writer.close();
    })();
    return new Response(readable, { headers: { "Content-Type": "text/event-stream" } });
  }),
});
http.route({
  pathPrefix: "/products/",
  method: "GET",
  handler: httpAction(async (ctx, request) => {
    const sku = decodeURIComponent(new URL(request.url).pathname.slice("/products/".length));
    try {
      const product = await ctx.runQuery(api.products.get, { sku });
      return Response.json(product, { headers: { ETag: `"${product._id}"` } });
    } catch (error) {
      console.error(error);
      return new Response((error as Error).message, { status: 404 });
    }
  }),
});
export default http;
