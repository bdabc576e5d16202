import { script } from "../scripts/openai";
import { runner } from "./runner";

export const { query, mutation, action } = runner(script);
