import { httpRouter } from "convex/server";
import { httpAction } from "./_generated/server";
import { ask } from "./raw";

const http = httpRouter();
http.route({
  path: "/raw",
  method: "POST",
  handler: httpAction(async (_, request) => Response.json(await ask(await request.json()))),
});
export default http;
