import { script } from "../scripts/svix";
import { runner } from "./runner";

export const { query, mutation, action } = runner(script);
