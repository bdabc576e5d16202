// The HTTP action of `src/app/http.rs`, in TypeScript.
import { anyApi, httpActionGeneric, httpRouter } from "convex/server";

const http = httpRouter();

http.route({
  path: "/account",
  method: "GET",
  handler: httpActionGeneric(async (ctx, request) => {
    const number = Number(new URL(request.url).searchParams.get("number") ?? NaN);
    if (Number.isNaN(number)) return new Response("which number?", { status: 400 });
    return Response.json(await ctx.runQuery(anyApi.accounts.point, { number }));
  }),
});

export default http;
