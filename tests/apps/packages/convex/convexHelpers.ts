import { script } from "../scripts/convexHelpers";
import { runner } from "./runner";

export const { query, mutation, action } = runner(script);
