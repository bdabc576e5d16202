import { script } from "../scripts/lucia";
import { runner } from "./runner";

export const { query, mutation, action } = runner(script);
