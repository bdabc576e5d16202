import { cronJobs, makeFunctionReference } from "convex/server";

const crons = cronJobs();
crons.interval("beat", { seconds: 1 }, makeFunctionReference<"mutation">("lib:tick"), { name: "beats" });
export default crons;
