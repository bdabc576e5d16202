import { cronJobs } from "convex/server";
import { internal } from "./_generated/api";

const crons = cronJobs();
crons.interval("mark overdue tasks", { minutes: 5 }, internal.tasks.overdue, { limit: 10 });
crons.daily("nightly", { hourUTC: 3, minuteUTC: 30 }, internal.tasks.overdue, {});
crons.cron("monday digest", "0 8 * * 1", internal.tasks.overdue, {});
export default crons;
