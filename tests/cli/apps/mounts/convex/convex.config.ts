import { defineApp } from "convex/server";
import { v } from "convex/values";
import counter from "./counter/convex.config";

const app = defineApp({ env: { GREETING: v.optional(v.string()) } });
app.use(counter, { env: { LABEL: "first" } });
app.use(counter, { name: "second", httpPrefix: "/second", env: { LABEL: app.env.GREETING } });
export default app;
