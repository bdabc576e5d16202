import { script } from "../scripts/jose";
import { runner } from "./runner";

export const { query, mutation, action } = runner(script);
