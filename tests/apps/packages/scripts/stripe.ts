import Stripe from "stripe";
import { type Script, thrown, type World } from "./script";

const client = ({ services }: World) => {
  const { hostname, port } = new URL(services);
  return new Stripe("sk_test_1", { host: hostname, port: Number(port), protocol: "http", maxNetworkRetries: 0, httpClient: Stripe.createFetchHttpClient(), telemetry: false });
};
const SECRET = "whsec_test";
const EVENT = JSON.stringify({ id: "evt_1", object: "event", type: "invoice.paid", data: { object: { id: "in_1", object: "invoice" } } });

export const script: Script = {
  lists: async (world) => (await client(world).customers.list({ limit: 2 })).data.map(({ id }) => id),
  creates: async (world) => client(world).customers.create({ email: "ada@example.com", metadata: { plan: "pro", seats: 3 }, name: "Ada & co" }, { idempotencyKey: "k1" }),
  pages: async (world) => {
    const ids = [];
    for await (const { id } of client(world).customers.list({ limit: 2 })) ids.push(id);
    return ids;
  },
  checkout: async (world) =>
    (await client(world).checkout.sessions.create({ mode: "payment", success_url: "https://a.example/?s={CHECKOUT_SESSION_ID}", line_items: [{ price: "p1", quantity: 2 }, { price: "p2", quantity: 1 }] })).metadata,
  refused: async (world) => {
    try {
      await client(world).charges.retrieve("missing");
    } catch (error) {
      const { type, code, statusCode, requestId, message } = error as Stripe.errors.StripeError;
      return { type, code, statusCode, requestId, message };
    }
  },
  webhook: async (world) => {
    const stripe = client(world);
    const header = await stripe.webhooks.generateTestHeaderStringAsync({ payload: EVENT, secret: SECRET });
    const event = await stripe.webhooks.constructEventAsync(EVENT, header, SECRET);
    return [event.type, await thrown(() => stripe.webhooks.constructEventAsync(`${EVENT} `, header, SECRET)).then((text) => text.slice(0, 80))];
  },
};
