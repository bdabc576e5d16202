import { httpActionGeneric as httpAction, httpRouter, makeFunctionReference } from "convex/server";

const told = makeFunctionReference<"mutation">("users:told");
const http = httpRouter();
http.route({
  path: "/told",
  method: "POST",
  handler: httpAction(async (ctx, request) => {
    await ctx.runMutation(told, { token: await request.text() });
    return new Response(null, { status: 204 });
  }),
});
export default http;
