// Developing with the official command line: watching files, and running functions.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ended, openApp, startServer } from "./harness.mjs";

const BROKEN = 'throw new Error("not today");\nexport const x = 1;\n';

test("dev pushes a file that changes", async (t) => {
  const app = openApp(t, await startServer(t));
  let pushes = 0;
  await app.follow(["dev", "--typecheck", "disable"], (line) => {
    if (!line.includes("Convex functions ready!")) return false;
    pushes += 1;
    if (pushes === 1) app.edit("convex/greetings.ts", "Hello, ", "Good day, ");
    return pushes === 2;
  });
  const greeted = ended(await app.convex("run", "greetings:greet", '{"name":"Ada"}'));
  assert.match(greeted.out, /Good day, Ada/);
});

test("dev goes on after a push that failed, once a variable is set or a file is mended", async (t) => {
  const app = openApp(t, await startServer(t));
  app.write(
    "convex/auth.config.ts",
    'export default { providers: [{ domain: process.env.ISSUER!, applicationID: "convex" }] };\n',
  );
  let asked = false;
  let broken = false;
  await app.follow(["dev", "--typecheck", "disable"], (line) => {
    if (line.includes("Environment variable ISSUER") && !asked) {
      asked = true;
      app.convex("env", "set", "ISSUER", "https://issuer.example");
    }
    if (line.includes("Convex functions ready!") && !broken) {
      broken = true;
      app.write("convex/broken.ts", BROKEN);
      return false;
    }
    if (broken && line.includes("not today")) app.write("convex/broken.ts", "export const x = 1;\n");
    return broken && line.includes("Convex functions ready!");
  });
  assert.ok(asked && broken);
});

test("dev goes on after a schema that did not fit, once the documents fit", async (t) => {
  const app = openApp(t, await startServer(t));
  ended(await app.convex("deploy"));
  ended(await app.convex("run", "rooms:open", '{"title":"blue"}'));
  app.edit("convex/schema.ts", "title: v.string()", "title: v.string(), floor: v.number()");
  let tidied = false;
  const all = await app.follow(["dev", "--typecheck", "disable"], (line) => {
    if (line.includes("does not match the schema") && !tidied) {
      tidied = true;
      app.convex("run", "rooms:tidy");
    }
    return line.includes("Convex functions ready!");
  });
  assert.ok(tidied, all);
});

test("dev ends by itself once a push has succeeded", async (t) => {
  const app = openApp(t, await startServer(t));
  app.write("convex/broken.ts", BROKEN);
  const { all, code } = await app.followToEnd(["dev", "--until-success", "--typecheck", "disable"], (line) => {
    if (line.includes("not today")) app.write("convex/broken.ts", "export const x = 1;\n");
  });
  assert.equal(code, 0, all);
  assert.match(all, /Convex functions ready!/);
});

test("deploy hands its address to the build that it runs", async (t) => {
  const server = await startServer(t);
  const app = openApp(t, server);
  const build = `${process.execPath} -e "console.log('built for', process.env.CONVEX_URL)"`;
  const deployed = ended(await app.convex("deploy", "--cmd", build, "--cmd-url-env-var-name", "CONVEX_URL"));
  assert.ok(deployed.all.includes(`built for ${server.url}`), deployed.all);
  assert.match(deployed.all, /Deployed Convex functions/);
});

test("run can push first, act as somebody, and watch", async (t) => {
  const app = openApp(t, await startServer(t));
  app.write(
    "convex/who.ts",
    'import { query } from "./_generated/server";\n' +
      "export const am = query({ args: {}, handler: async (ctx) => (await ctx.auth.getUserIdentity())?.tokenIdentifier ?? null });\n",
  );
  const pushed = ended(await app.convex("run", "who:am", "{}", "--push", "--typecheck", "disable", "--identity", '{subject: "ada"}'));
  assert.match(pushed.out, /"https:\/\/convex\.test\|ada"/);
  let opened = false;
  const all = await app.follow(["run", "rooms:list", "--watch"], (line) => {
    if (line.trim() === "[]" && !opened) {
      opened = true;
      app.convex("run", "rooms:open", '{"title":"blue"}');
    }
    return line.includes("blue");
  });
  assert.ok(opened, all);
});
