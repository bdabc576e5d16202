import { createOpenAI } from "@ai-sdk/openai";
import { embed, generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import type { Script, World } from "./script";

// Its warnings are known.
(globalThis as { AI_SDK_LOG_WARNINGS?: boolean }).AI_SDK_LOG_WARNINGS = false;

const model = ({ services }: World, name = "gpt-4o-mini") => createOpenAI({ apiKey: "sk-test", baseURL: `${services}/openai/v1` }).chat(name);

export const script: Script = {
  generates: async (world) => {
    const { text, finishReason, usage } = await generateText({ model: model(world), prompt: "say: one two three" });
    return { text, finishReason, tokens: usage.totalTokens };
  },
  streams: async (world) => {
    const { textStream } = streamText({ model: model(world), prompt: "say: one two three" });
    const parts = [];
    for await (const part of textStream) parts.push(part);
    return parts;
  },
  objects: async (world) => (await generateObject({ model: model(world, "json"), schema: z.object({ name: z.string(), age: z.number() }), prompt: "who?" })).object,
  callsTools: async (world) => {
    const add = tool({ description: "adds", inputSchema: z.object({ a: z.number(), b: z.number() }), execute: async ({ a, b }) => a + b });
    const { text, steps } = await generateText({ model: model(world, "tools"), tools: { add }, stopWhen: stepCountIs(3), prompt: "what is 2 + 3?" });
    return [text, steps.length];
  },
  embeds: async (world) =>
    (await embed({ model: createOpenAI({ apiKey: "sk-test", baseURL: `${world.services}/openai/v1` }).embedding("m"), value: "text" })).embedding,
  answersAsEvents: async (world) => {
    const response = streamText({ model: model(world), prompt: "say: one two three" }).toTextStreamResponse();
    return [response.status, response.headers.get("content-type"), await response.text()];
  },
};
