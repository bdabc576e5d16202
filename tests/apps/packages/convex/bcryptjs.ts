import { script } from "../scripts/bcryptjs";
import { runner } from "./runner";

export const { query, mutation, action } = runner(script);
