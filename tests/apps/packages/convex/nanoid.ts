import { script } from "../scripts/nanoid";
import { runner } from "./runner";

export const { query, mutation, action } = runner(script);
