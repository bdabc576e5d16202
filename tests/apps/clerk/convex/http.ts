import { httpRouter } from "convex/server";
import { Webhook } from "svix";
import { internal } from "./_generated/api";
import { httpAction } from "./_generated/server";

type Event = { type: string; data: { id: string } };
const http = httpRouter();

async function validate(request: Request): Promise<Event | null> {
  const payload = await request.text();
  const headers = Object.fromEntries(["svix-id", "svix-timestamp", "svix-signature"].map((name) => [name, request.headers.get(name) ?? ""]));
  try {
    return new Webhook(process.env.CLERK_WEBHOOK_SECRET!).verify(payload, headers) as Event;
  } catch (error) {
    console.error("Error verifying webhook event", error);
    return null;
  }
}

http.route({
  path: "/clerk-users-webhook",
  method: "POST",
  handler: httpAction(async (ctx, request) => {
    const event = await validate(request);
    if (event === null) return new Response("Error occurred", { status: 400 });
    switch (event.type) {
      case "user.created":
      case "user.updated":
        await ctx.runMutation(internal.users.upsertFromClerk, { data: event.data });
        break;
      case "user.deleted":
        await ctx.runMutation(internal.users.deleteFromClerk, { clerkId: event.data.id });
        break;
      default:
        console.log("Ignored Clerk webhook event", event.type);
    }
    return new Response(null, { status: 200 });
  }),
});

export default http;
