// An OpenID Connect issuer as Clerk is one: it discloses its keys, changes them, and signs tokens for every user that
// asks.

import { once } from "node:events";
import http from "node:http";
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from "jose";

/** Starts an issuer that ends with `t`. */
export async function startIssuer(t) {
  const issuer = {};
  let current;
  issuer.rotate = async () => {
    const { publicKey, privateKey } = await generateKeyPair("RS256");
    const jwk = await exportJWK(publicKey);
    current = { privateKey, jwk: { ...jwk, use: "sig", alg: "RS256", kid: await calculateJwkThumbprint(jwk) } };
  };
  await issuer.rotate();
  const token = async ({ id, name }) =>
    new SignJWT({ name }).setProtectedHeader({ alg: "RS256", kid: current.jwk.kid }).setSubject(id).setIssuer(issuer.url).setAudience("convex").setIssuedAt().setExpirationTime("1h").sign(current.privateKey);
  const server = http.createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, issuer.url);
    response.setHeader("Access-Control-Allow-Origin", "*");
    if (pathname === "/token") return response.end(await token(Object.fromEntries(searchParams)));
    if (pathname === "/.well-known/openid-configuration") {
      return response.end(JSON.stringify({ issuer: issuer.url, jwks_uri: `${issuer.url}/keys`, id_token_signing_alg_values_supported: ["RS256"] }));
    }
    response.setHeader("Content-Type", "application/json");
    if (pathname === "/keys") return response.end(JSON.stringify({ keys: [current.jwk] }));
    response.writeHead(404).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  issuer.url = `http://127.0.0.1:${server.address().port}`;
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return issuer;
}
