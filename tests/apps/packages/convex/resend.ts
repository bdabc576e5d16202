import { script } from "../scripts/resend";
import { runner } from "./runner";

export const { query, mutation, action } = runner(script);
