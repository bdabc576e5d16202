import { script } from "../scripts/noble";
import { runner } from "./runner";

export const { query, mutation, action } = runner(script);
