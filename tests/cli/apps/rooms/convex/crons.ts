import { cronJobs } from "convex/server";
import { internal } from "./_generated/api";

const crons = cronJobs();
crons.daily("tidy up", { hourUTC: 3, minuteUTC: 15 }, internal.rooms.tidy);
export default crons;
