export default { providers: [{ domain: process.env.CONVEX_SITE_URL!, applicationID: "convex" }] };

declare const process: { env: Record<string, string | undefined> };
