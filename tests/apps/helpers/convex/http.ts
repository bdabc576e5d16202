import { corsRouter } from "convex-helpers/server/cors";
import { httpRouter } from "convex/server";
import { httpAction } from "./_generated/server";

const http = httpRouter();
const cors = corsRouter(http, { allowedOrigins: ["https://app.example"], allowCredentials: true, allowedHeaders: ["X-Own"] });
cors.route({ path: "/hello", method: "GET", handler: httpAction(async () => new Response("hello")) });
cors.route({ pathPrefix: "/things/", method: "POST", handler: httpAction(async (_, request) => Response.json({ path: new URL(request.url).pathname, sent: await request.json() }, { status: 201 })) });
export default http;
