import { script } from "../scripts/stripe";
import { runner } from "./runner";

export const { query, mutation, action } = runner(script);
