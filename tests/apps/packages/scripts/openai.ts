import OpenAI from "openai";
import { type Script, thrown, type World } from "./script";

const client = ({ services }: World, more = {}) => new OpenAI({ apiKey: "sk-test", baseURL: `${services}/openai/v1`, maxRetries: 0, ...more });
const ask = { model: "gpt-4o-mini", messages: [{ role: "user" as const, content: "say: one two three" }] };

export const script: Script = {
  completes: async (world) => (await client(world).chat.completions.create(ask)).choices[0].message,
  streams: async (world) => {
    const parts = [];
    for await (const chunk of await client(world).chat.completions.create({ ...ask, stream: true })) parts.push(chunk.choices[0]?.delta?.content);
    return parts;
  },
  helps: async (world) => {
    const events: string[] = [];
    const stream = client(world).chat.completions.stream(ask).on("content", (delta) => events.push(delta));
    return [await stream.finalContent(), events];
  },
  tellsHeaders: async (world) => {
    const { data, response } = await client(world).models.list().withResponse();
    return [data.data.map((model) => model.id), response.headers.get("x-authorization"), response.status];
  },
  embeds: async (world) => (await client(world).embeddings.create({ model: "m", input: "text", encoding_format: "float" })).data[0].embedding,
  embedsInBase64: async (world) => (await client(world).embeddings.create({ model: "m", input: "text" })).data[0].embedding,
  uploads: async (world) => client(world).files.create({ purpose: "user_data", file: await OpenAI.toFile(new Blob(["a,b\n1,2\n"]), "table.csv", { type: "text/csv" }) }),
  refused: async (world) => thrown(() => client(world).chat.completions.create({ ...ask, model: "refused" })),
  triesAgain: async (world) => (await client(world, { maxRetries: 2 }).chat.completions.create({ ...ask, model: "busy" })).choices[0].message.content,
  timesOut: async (world) => thrown(() => client(world, { timeout: 50 }).chat.completions.create({ ...ask, model: "silent" })),
  aborts: async (world) => {
    const controller = new AbortController();
    const stream = await client(world).chat.completions.create({ ...ask, model: "endless", stream: true }, { signal: controller.signal });
    let seen = 0;
    for await (const _ of stream) if (++seen === 3) controller.abort();
    return seen;
  },
};
