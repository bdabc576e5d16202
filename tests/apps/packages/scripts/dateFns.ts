import * as d from "date-fns";
import { de, enGB, fr } from "date-fns/locale";
import type { Script } from "./script";

const day = () => new Date(Date.UTC(2024, 1, 29, 13, 5, 9, 7));

export const script: Script = {
  formats: () => ["yyyy-MM-dd HH:mm:ss.SSS", "PPPPpppp", "do MMMM yyyy", "EEEE, QQQ", "'week' II", "h:mm a", "x", "XXX"].map((pattern) => d.format(day(), pattern)),
  locales: () => [de, enGB, fr].map((locale) => [d.format(day(), "PPPP", { locale }), d.formatDistance(day(), d.addDays(day(), 40), { locale })]),
  adds: () => [d.addMonths(day(), 12), d.addBusinessDays(day(), 3), d.subYears(day(), 1), d.add(day(), { weeks: 1, hours: 5 })],
  differs: () => [d.differenceInDays(day(), new Date(0)), d.differenceInCalendarMonths(day(), new Date(0)), d.differenceInBusinessDays(day(), new Date(0))],
  parses: () => [d.parseISO("2024-02-29T12:00:00+02:00"), d.parse("29/02/2024", "dd/MM/yyyy", new Date(0)), d.isValid(d.parse("31/02/2024", "dd/MM/yyyy", new Date(0)))],
  bounds: () => [d.startOfWeek(day()), d.startOfISOWeek(day()), d.endOfMonth(day()), d.startOfQuarter(day()), d.endOfDay(day())],
  distances: () => [d.formatDistanceStrict(day(), new Date(0)), d.formatDuration({ years: 1, days: 2 }), d.formatRelative(day(), d.addDays(day(), 2)), d.intervalToDuration({ start: new Date(0), end: day() })],
  zones: () => [d.formatISO(day()), d.formatRFC7231(day()), d.formatRFC3339(day())],
  intl: () => [d.intlFormat(day(), { year: "numeric", month: "long", day: "numeric" }, { locale: "en-US" }), d.intlFormatDistance(day(), d.addDays(day(), 3), { locale: "en-US" })],
  lists: () => d.eachWeekOfInterval({ start: day(), end: d.addDays(day(), 30) }),
};
