import { script } from "../scripts/oslo";
import { runner } from "./runner";

export const { query, mutation, action } = runner(script);
