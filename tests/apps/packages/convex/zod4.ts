import { script } from "../scripts/zod4";
import { runner } from "./runner";

export const { query, mutation, action } = runner(script);
