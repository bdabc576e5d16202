import { script } from "../scripts/dateFns";
import { runner } from "./runner";

export const { query, mutation, action } = runner(script);
