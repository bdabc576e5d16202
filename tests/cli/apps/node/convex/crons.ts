import { cronJobs } from "convex/server";
import { internal } from "./_generated/api";

const crons = cronJobs();
crons.interval("note", { seconds: 1 }, internal.mail.noteOnce, {});
export default crons;
