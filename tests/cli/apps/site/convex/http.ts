import { httpRouter } from "convex/server";
import { httpAction } from "./_generated/server";

const http = httpRouter();
const json = (value: unknown) =>
  new Response(typeof value === "string" ? value : JSON.stringify(value), { headers: { "Content-Type": "application/json" } });

// The deployment as an issuer of its own.
http.route({
  path: "/.well-known/openid-configuration",
  method: "GET",
  handler: httpAction(async () => {
    const issuer = process.env.CONVEX_SITE_URL;
    return json({ issuer, jwks_uri: `${issuer}/.well-known/jwks.json` });
  }),
});
http.route({
  path: "/.well-known/jwks.json",
  method: "GET",
  handler: httpAction(async () => json(process.env.JWKS!)),
});
http.route({
  path: "/echo",
  method: "POST",
  handler: httpAction(async (_, request) =>
    json({ url: request.url, body: await request.text(), agent: request.headers.get("user-agent") }),
  ),
});
export default http;

declare const process: { env: Record<string, string | undefined> };
