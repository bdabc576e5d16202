import { script } from "../scripts/ai";
import { runner } from "./runner";

export const { query, mutation, action } = runner(script);
