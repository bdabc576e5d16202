import { httpActionGeneric as httpAction, httpRouter, makeFunctionReference } from "convex/server";

const http = httpRouter();
http.route({
  path: "/hook",
  method: "POST",
  handler: httpAction(async (ctx, request) => {
    const name = await request.text();
    await ctx.runMutation(makeFunctionReference<"mutation">("lib:add"), { name, by: 5 });
    const value = await ctx.runQuery(makeFunctionReference<"query">("lib:get"), { name });
    const identity = await ctx.auth.getUserIdentity();
    return Response.json({ value, identity, path: new URL(request.url).pathname });
  }),
});
http.route({
  pathPrefix: "/files/",
  method: "GET",
  handler: httpAction(async (_, request) => new Response(new URL(request.url).pathname)),
});
export default http;
