import { defineComponent } from "convex/server";
import { v } from "convex/values";
import ledger from "../ledger/convex.config";

const counter = defineComponent("counter", { env: { LABEL: v.optional(v.string()) } });
counter.use(ledger);
export default counter;
