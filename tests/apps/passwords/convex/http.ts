import { httpRouter } from "convex/server";
import { api } from "./_generated/api";
import { httpAction } from "./_generated/server";
import { auth } from "./auth";

const http = httpRouter();
auth.addHttpRoutes(http);

const CORS = { "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "Authorization", Vary: "Origin" };

http.route({
  path: "/read",
  method: "OPTIONS",
  handler: httpAction(async () => new Response(null, { status: 204, headers: CORS })),
});

/** Reads notes aloud, an event each. The listener removes a note before the next is read. */
http.route({
  path: "/read",
  method: "GET",
  handler: httpAction(async (ctx, request) => {
    if ((await ctx.auth.getUserIdentity()) === null) return new Response("sign in first", { status: 401, headers: CORS });
    const encoder = new TextEncoder();
    let last: string | undefined;
    const events = new ReadableStream({
      async pull(controller) {
        while (!request.signal.aborted) {
          const [note] = (await ctx.runQuery(api.notes.page, { paginationOpts: { numItems: 1, cursor: null } })).page;
          if (note === undefined) {
            controller.enqueue(encoder.encode("event: end\ndata:\n\n"));
            return controller.close();
          }
          if (note._id !== last) {
            last = note._id;
            return controller.enqueue(encoder.encode(`data: ${JSON.stringify({ id: note._id, body: note.body })}\n\n`));
          }
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        controller.close();
      },
    });
    return new Response(events, { headers: { ...CORS, "Content-Type": "text/event-stream" } });
  }),
});

export default http;
