import { Resend } from "resend";
import type { Script, World } from "./script";

const client = ({ services }: World) => new Resend("re_test", { baseUrl: `${services}/resend` } as never);

export const script: Script = {
  sends: async (world) => client(world).emails.send({ from: "a@example.com", to: ["b@example.com"], subject: "Héllo", html: "<p>hi</p>", attachments: [{ filename: "a.txt", content: "aGk=" }] }),
  refused: async (world) => client(world).emails.send({ from: "refused@example.com", to: "b@example.com", subject: "x", text: "y" }),
  batches: async (world) => (await client(world).batch.send([{ from: "a@example.com", to: "b@example.com", subject: "1", text: "1" }])).data,
};
