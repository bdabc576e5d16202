import { script } from "../scripts/zod3";
import { runner } from "./runner";

export const { query, mutation, action } = runner(script);
