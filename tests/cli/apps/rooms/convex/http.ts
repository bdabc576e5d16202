import { httpRouter } from "convex/server";
import { httpAction } from "./_generated/server";

const http = httpRouter();
http.route({ path: "/hook", method: "POST", handler: httpAction(async (_, request) => new Response(await request.text())) });
http.route({ pathPrefix: "/files/", method: "GET", handler: httpAction(async () => new Response("a file")) });
export default http;
