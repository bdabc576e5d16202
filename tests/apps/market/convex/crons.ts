import { cronJobs } from "convex/server";
import { internal } from "./_generated/api";
const crons = cronJobs();
crons.weekly("clear events", { dayOfWeek: "monday", hourUTC: 1, minuteUTC: 0 }, internal.admin.tools.clear, { table: "events" });
crons.hourly("fan", { minuteUTC: 17 }, internal.admin.tools.fanOut, { times: 3 });
crons.monthly("bill", { day: 31, hourUTC: 0, minuteUTC: 0 }, internal.orders.fail, { reason: "monthly" });
export default crons;
