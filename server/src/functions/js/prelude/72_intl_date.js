// Dates and times as Intl.DateTimeFormat writes them: in English by rules, in other languages by tables of patterns.
(() => {
  $.part([], ["DateTimeFormat"], () => {
    const { LOCALES, tableOf, list, known, resolve, clockOf, choice, whole, unavailable } = $.web.locales;
    const MONTHS = "January February March April May June July August September October November December".split(" ");
    const DAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");
    const NUMERIC = ["numeric", "2-digit"];
    const TEXT = ["long", "short", "narrow"];
    const ZONE_NAMES = ["short", "long", "shortOffset", "longOffset", "shortGeneric", "longGeneric"];
    const DATE_FIELDS = ["weekday", "year", "month", "day"];
    const TIME_FIELDS = ["hour", "minute", "second", "fractionalSecondDigits", "dayPeriod"];
    // Zones of North America go by letters, all others by their offset.
    const LONG_NAMES = {
      EST: "Eastern Standard Time",
      EDT: "Eastern Daylight Time",
      CST: "Central Standard Time",
      CDT: "Central Daylight Time",
      MST: "Mountain Standard Time",
      MDT: "Mountain Daylight Time",
      PST: "Pacific Standard Time",
      PDT: "Pacific Daylight Time",
      AKST: "Alaska Standard Time",
      AKDT: "Alaska Daylight Time",
      HST: "Hawaii-Aleutian Standard Time",
    };
    // By the region of a zone, in which its letters mean one thing.
    const REGIONAL_NAMES = {
      Europe: {
        BST: "British Summer Time",
        CET: "Central European Standard Time",
        CEST: "Central European Summer Time",
        EET: "Eastern European Standard Time",
        EEST: "Eastern European Summer Time",
        IST: "Irish Standard Time",
        WET: "Western European Standard Time",
        WEST: "Western European Summer Time",
      },
      Australia: {
        ACST: "Australian Central Standard Time",
        ACDT: "Australian Central Daylight Time",
        AEST: "Australian Eastern Standard Time",
        AEDT: "Australian Eastern Daylight Time",
        AWST: "Australian Western Standard Time",
      },
    };
    const ZONES = {
      "Asia/Hong_Kong HKT": "Hong Kong Standard Time",
      "Asia/Calcutta IST": "India Standard Time",
      "Asia/Kolkata IST": "India Standard Time",
      "Asia/Seoul KST": "Korean Standard Time",
      "Asia/Shanghai CST": "China Standard Time",
      "Asia/Tokyo JST": "Japan Standard Time",
      "Pacific/Auckland NZST": "New Zealand Standard Time",
      "Pacific/Auckland NZDT": "New Zealand Daylight Time",
    };
    const UTC_NAMES = ["utc", "etc/utc", "gmt", "etc/gmt", "uct", "etc/uct", "zulu", "etc/zulu", "universal", "etc/universal", "gmt0", "gmt+0", "gmt-0"];
    const DATE_STYLES = {
      full: { weekday: "long", year: "numeric", month: "long", day: "numeric" },
      long: { year: "numeric", month: "long", day: "numeric" },
      medium: { year: "numeric", month: "short", day: "numeric" },
      short: { year: "2-digit", month: "numeric", day: "numeric" },
    };
    const TIME_STYLES = {
      full: { hour: "numeric", minute: "2-digit", second: "2-digit", timeZoneName: "long" },
      long: { hour: "numeric", minute: "2-digit", second: "2-digit", timeZoneName: "short" },
      medium: { hour: "numeric", minute: "2-digit", second: "2-digit" },
      short: { hour: "numeric", minute: "2-digit" },
    };

    const pad = (number, length = 2) => `${number}`.padStart(length, "0");
    const literal = (value) => ({ type: "literal", value });

    // What is shown when the options name no field: `needs` and `adds` are "date", "time" or "any" and "all".
    const fieldsOf = (options, needs, adds) => {
      const fields = {
        weekday: choice(options, "weekday", TEXT),
        era: choice(options, "era", TEXT),
        year: choice(options, "year", NUMERIC),
        month: choice(options, "month", [...NUMERIC, ...TEXT]),
        day: choice(options, "day", NUMERIC),
        hour: choice(options, "hour", NUMERIC),
        minute: choice(options, "minute", NUMERIC),
        second: choice(options, "second", NUMERIC),
        fractionalSecondDigits: whole(options, "fractionalSecondDigits", 1, 3),
        timeZoneName: choice(options, "timeZoneName", ZONE_NAMES),
      };
      if (options?.dayPeriod !== undefined) unavailable("The option dayPeriod");
      const dateStyle = choice(options, "dateStyle", Object.keys(DATE_STYLES));
      const timeStyle = choice(options, "timeStyle", Object.keys(TIME_STYLES));
      if (dateStyle || timeStyle) {
        const other = Object.keys(fields).find((name) => fields[name] !== undefined);
        if (other) throw new TypeError(`Can't set option ${other} when ${dateStyle ? "dateStyle" : "timeStyle"} is used`);
        if (needs === "date" && timeStyle) throw new TypeError("Invalid option : timeStyle");
        if (needs === "time" && dateStyle) throw new TypeError("Invalid option : dateStyle");
        return { ...DATE_STYLES[dateStyle], ...TIME_STYLES[timeStyle], dateStyle, timeStyle };
      }
      const has = (names) => names.some((name) => fields[name] !== undefined);
      const isEnough =
        (needs !== "time" && has(DATE_FIELDS)) || (needs !== "date" && has(TIME_FIELDS));
      if (!isEnough && adds !== "time") fields.year = fields.month = fields.day = "numeric";
      if (!isEnough && adds !== "date") fields.hour = fields.minute = fields.second = "numeric";
      return fields;
    };

    const INDIAN = /^en(-US)?-u-ca-indian$/;
    const CALENDAR = /-ca(-[a-z0-9]{3,8})+/;
    // Why dates of another calendar are refused, where only the calendar is not known: libraries make formatters that they
    // may never use.
    const refusalOf = (locales) => {
      const tag = list(locales)[0];
      if (tag === undefined || !CALENDAR.test(tag) || known(tag.replace(CALENDAR, "").replace(/-u$/, "")) === undefined) return undefined;
      try {
        resolve(locales);
      } catch (error) {
        return error;
      }
    };

    const cycleOf = (options, locale, clock) => {
      const asked = choice(options, "hourCycle", ["h11", "h12", "h23", "h24"]) ?? clock;
      if (options?.hour12 !== undefined) return options.hour12 ? "h12" : "h23";
      return asked ?? (LOCALES[locale]?.hour12 ? "h12" : "h23");
    };

    const LETTERS = { numeric: "n", "2-digit": "2", short: "s", long: "l" };
    // The name under which a table has the pattern of some fields.
    const nameOf = (fields, names) => names.map((name) => (fields[name] === undefined ? "-" : LETTERS[fields[name]])).join("");

    // The pattern of these fields in a locale: literals, and each field in braces.
    const patternOf = (fields, cycle, table, locale) => {
      const refuse = (what) => unavailable(`${what} in ${locale}`);
      for (const name of ["era", "timeZoneName", "fractionalSecondDigits"]) {
        if (fields[name] !== undefined) refuse(name === "timeZoneName" ? "The name of a time zone" : `The option ${name}`);
      }
      if (fields.hour && cycle !== "h23" && cycle !== table.cycle) refuse(`The hourCycle "${cycle}"`);
      const { dateStyle, timeStyle } = fields;
      if (dateStyle || timeStyle) {
        if (timeStyle && cycle !== "h23") refuse(`The hourCycle "${cycle}" with a timeStyle`);
        const joint = dateStyle && timeStyle ? table.styleJoints[dateStyle] : "";
        return `${table.styles[dateStyle] ?? ""}${joint}${table.timeStyles[timeStyle] ?? ""}`;
      }
      if (Object.values(fields).includes("narrow")) refuse("A narrow name");
      const [date, time] = [nameOf(fields, DATE_FIELDS), nameOf(fields, ["hour", "minute", "second"])];
      const clock = table.times[`${fields.hour && cycle !== "h23" ? "t" : "h"}${time}`];
      if (time === "---") return table.dates[date];
      if (date === "----") return clock;
      const joint = table.joints[date] === undefined ? table.joint : table.joints[date];
      if (joint === null) refuse("Such a date with a time");
      return `${table.dates[date]}${joint}${clock}`;
    };

    const FIELD_TYPES = { w: "weekday", y: "year", M: "month", m: "month", d: "day", h: "hour", n: "minute", s: "second", a: "dayPeriod" };
    // The parts of a moment in a pattern.
    const partsByPattern = (pattern, moment, cycle, lists) => {
      const numbers = () => ({
        y: Number(yearOf(moment)),
        M: moment.month + 1,
        d: moment.day,
        h: hourOf(moment.hour, cycle),
        n: moment.minute,
        s: moment.second,
      });
      const places = { w: moment.weekday, m: moment.month, a: moment.hour < 12 ? 0 : 1 };
      return pattern.split(/(\{[^}]*\})/).filter((text) => text !== "").map((text) => {
        const field = /^\{([wma])(\d+)\}$/.exec(text);
        if (field) return { type: FIELD_TYPES[field[1]], value: lists[field[2]][places[field[1]]] };
        const number = /^\{(([yMdhns])\2?)([^}]*)\}$/.exec(text);
        if (!number) return literal(text);
        const [, form, letter, suffix] = number;
        const value = numbers()[letter];
        const isPadded = form.length === 2;
        const shown = isPadded ? pad(letter === "y" ? value % 100 : value) : `${value}`;
        return { type: FIELD_TYPES[letter], value: `${shown}${suffix}` };
      });
    };

    class DateTimeFormat {
      #locale;
      #table;
      #pattern;
      #fields;
      #zone;
      #cycle;
      #format;
      #calendar = "gregory";
      #refusal;
      constructor(locales, options = {}, secret, needs = "any", adds = "date") {
        if (options === null) throw new TypeError("Intl.DateTimeFormat: options must not be null");
        const isExtended = typeof locales === "string" ? /-u-/i.test(locales) : locales !== undefined;
        this.#refusal = isExtended ? refusalOf(locales) : undefined;
        this.#locale = this.#refusal ? "en-US" : resolve(locales);
        const clock = isExtended ? clockOf(locales) : undefined;
        const isOwn = secret === $.secret;
        this.#fields = fieldsOf(options, isOwn ? needs : "any", isOwn ? adds : "date");
        this.#cycle = cycleOf(options, this.#locale, clock);
        // Where the hour is shown without being asked for, V8 takes from a cycle only whether it has twelve hours.
        if (this.#fields.hour && options.hour === undefined && options.timeStyle === undefined) {
          this.#cycle = this.#isTwelve() ? (tableOf(this.#locale)?.dates.cycle ?? "h12") : "h23";
        }
        this.#zone = options.timeZone === undefined ? "UTC" : zoneOf(`${options.timeZone}`);
        this.#chooseCalendar(locales, options.calendar);
        this.#table = tableOf(this.#locale)?.dates;
        if (this.#table) this.#readTable(options.hour12, options.hourCycle ?? clock);
      }
      // Two other calendars are known, in English and in digits.
      #chooseCalendar(locales, calendar) {
        if (calendar === "iso8601" && this.#isInDigits()) this.#calendar = calendar;
        else if (calendar !== undefined && calendar !== "gregory") unavailable(`The calendar "${calendar}"`);
        if (this.#refusal && INDIAN.test(list(locales)[0]) && this.#isInDigits(true)) {
          this.#calendar = "indian";
          this.#refusal = undefined;
        }
      }
      #isInDigits(isWhole) {
        const { weekday, era, year, month, day, dateStyle } = this.#fields;
        const isEnglish = this.#locale === "en-US" && dateStyle === undefined && weekday === undefined && !TEXT.includes(month);
        return isEnglish && (!isWhole || (era === undefined && [year, month, day].every((form) => form === "numeric")));
      }
      #isTwelve() {
        return this.#cycle === "h12" || this.#cycle === "h11";
      }
      #readTable(hour12, hourCycle) {
        // Twelve hours are counted as the locale does, but where a cycle is named.
        if (hour12 || (hour12 === undefined && hourCycle === this.#table.cycle)) this.#cycle = this.#table.cycle;
        this.#pattern = patternOf(this.#fields, this.#cycle, this.#table, this.#locale);
      }
      get format() {
        this.#format ??= (date) =>
          this.formatToParts(date)
            .map((part) => part.value)
            .join("")
            // V8 keeps this blank in parts alone.
            .replaceAll("\u202f", " ");
        return this.#format;
      }
      formatToParts(date) {
        if (this.#refusal) throw this.#refusal;
        const at = date === undefined ? $.host("time.now") : Number(date);
        if (!Number.isFinite(at) || Math.abs(at) > 8.64e15) throw new RangeError("Invalid time value");
        const moment = momentOf(at, this.#zone);
        if (this.#table) return partsByPattern(this.#pattern, moment, this.#cycle, this.#table.lists);
        const dates = this.#dateParts(moment);
        const times = this.#timeParts(moment);
        if (dates.length === 0 || times.length === 0) return dates.length > 0 ? dates : times;
        return [...dates, literal(this.#joint()), ...times];
      }
      #joint() {
        const { month, dateStyle } = this.#fields;
        if (this.#isWeekdayInTime()) return " ";
        if (dateStyle) return dateStyle === "full" || dateStyle === "long" ? " at " : ", ";
        return month === "long" ? " at " : ", ";
      }

      // Whether the weekday stands in the pattern of the time, as in "Thu 12:07 AM".
      #isWeekdayInTime() {
        const { weekday, year, month, day, hour, minute, timeZoneName } = this.#fields;
        return Boolean(weekday && !year && !month && !day && hour && minute && !timeZoneName);
      }

      #dateParts(moment) {
        const { weekday, era, year, month, day, dateStyle } = this.#fields;
        if (this.#calendar === "iso8601") {
          const digits = { year, month: month && "2-digit", day: day && "2-digit" };
          const parts = digitDate(digits, moment, "ymd", this.#locale);
          return era && parts.length > 0 ? [literal(" "), ...parts] : parts;
        }
        if (this.#calendar === "indian") {
          const date = $.web.calendars.indian(moment);
          const fields = [["month", date.month + 1], ["day", date.day], ["year", date.year]];
          const parts = fields.flatMap(([type, value]) => [{ type, value: `${value}` }, literal("/")]);
          return [...parts.slice(0, -1), literal(" "), { type: "era", value: "Śaka" }];
        }
        const { order } = LOCALES[this.#locale];
        const isText = TEXT.includes(month);
        const parts = isText
          ? textDate(this.#fields, moment, order, this.#locale)
          : digitDate(this.#fields, moment, era && this.#locale !== "en-GB" ? "mdy" : order, this.#locale);
        if (weekday) {
          const name = { type: "weekday", value: named(DAYS[moment.weekday], weekday, 1) };
          if (parts.length === 0) parts.push(name);
          else if (day && !month && !year) {
            if (this.#locale === "en-US") parts.push(literal(" "), name);
            else parts.unshift(name, literal(" "));
          } else {
            if (!day) unavailable("A weekday with a month and without a day");
            parts.unshift(name, literal(this.#locale === "en-GB" && !year ? " " : ", "));
          }
        }
        if (era) {
          const names = { long: ["Before Christ", "Anno Domini"], short: ["BC", "AD"], narrow: ["B", "A"] }[era];
          parts.push(literal(" "), { type: "era", value: names[moment.year > 0 ? 1 : 0] });
        }
        return dateStyle === "short" && this.#locale !== "en-US" ? digitDate({ year: "numeric", month: "2-digit", day: "2-digit" }, moment, order, this.#locale) : parts;
      }

      #timeParts(moment) {
        const { hour, minute, second, fractionalSecondDigits: digits, timeZoneName, timeStyle } = this.#fields;
        const parts = [];
        const add = (type, value, before) => {
          if (parts.length > 0) parts.push(literal(before));
          parts.push({ type, value: `${value}` });
        };
        const isTwelve = this.#isTwelve();
        if (hour) {
          const value = hourOf(moment.hour, this.#cycle);
          // The patterns of twenty-four hours have two digits. Where they are the usual ones, fields may ask for another form.
          const isUsual = !LOCALES[this.#locale].hour12 && minute === "2-digit" && !timeStyle;
          const isOwnForm = isUsual && !(timeZoneName && !second) && !this.#isWeekdayInTime();
          const isPadded = !isTwelve && !isOwnForm;
          if (!isTwelve && timeZoneName && !minute) unavailable("A time zone after an hour alone");
          add("hour", hour === "2-digit" || isPadded ? pad(value) : value);
        }
        const isAlone = [hour, minute, second].filter(Boolean).length === 1;
        if (minute) add("minute", isAlone ? moment.minute : pad(moment.minute), ":");
        if (second) add("second", isAlone ? moment.second : pad(moment.second), ":");
        if (digits) add("fractionalSecond", pad(moment.millisecond, 3).slice(0, digits), ".");
        if (hour && isTwelve) add("dayPeriod", dayPeriod(moment.hour, this.#locale), "\u202f");
        if (timeZoneName && parts.length > 0) add("timeZoneName", zoneName(moment, timeZoneName, this.#locale), " ");
        else if (timeZoneName) parts.push({ type: "timeZoneName", value: zoneName(moment, timeZoneName, this.#locale) });
        return parts;
      }
      formatRange(start, end) {
        const [from, to] = [this.formatToParts(start), this.formatToParts(end)];
        const text = (parts) => parts.map(({ value }) => value).join("");
        const [first, last] = [text(from), text(to)];
        const day = new DateTimeFormat("en-US", { timeZone: this.#zone });
        const isOneDay = day.format(start) === day.format(end);
        const part = (parts, type) => parts.find((part) => part.type === type)?.value;
        const has = (type) => part(from, type) !== undefined;
        const isSame = (type) => part(from, type) === part(to, type);
        if (first === last && (isOneDay || !has("hour"))) return first;
        const between = (one, other) => `${one}\u2009–\u2009${other}`;
        const hasTextMonth = /^[A-Za-z]/.test(part(from, "month") ?? "");
        const refused = () => unavailable("A range of this form");
        if (this.#locale !== "en-US" || this.#calendar !== "gregory") refused();
        if (has("hour")) {
          const isTimeAlone = !["year", "month", "day", "weekday", "timeZoneName"].some(has);
          if (!isTimeAlone || !isOneDay) refused();
          const inRange = (time) => time.replace(/ (?=[AP]M$)/, "\u202f");
          return between(isSame("dayPeriod") ? first.replace(/\s[AP]M$/, "") : inRange(first), inRange(last));
        }
        if (!hasTextMonth) {
          const isWhole = (has("year") && has("month") && has("day")) || first.length === part(from, "year")?.length;
          return isWhole ? between(first, last) : refused();
        }
        if (has("weekday") || has("era")) refused();
        if (has("year") && !isSame("year")) return between(first, last);
        if (!has("year") && day.format(start).slice(-4) !== day.format(end).slice(-4)) refused();
        if (!has("day")) return between(part(from, "month"), last);
        const begin = `${part(from, "month")} ${part(from, "day")}`;
        return isSame("month") ? between(begin, last.replace(/^\S+ /, "")) : between(begin, last);
      }
      resolvedOptions() {
        if (this.#refusal) throw this.#refusal;
        const options = { locale: this.#locale, calendar: this.#calendar, numberingSystem: "latn", timeZone: this.#zone };
        const { dateStyle, timeStyle, ...fields } = this.#fields;
        if (fields.hour) Object.assign(options, { hourCycle: this.#cycle, hour12: this.#cycle === "h12" || this.#cycle === "h11" });
        const shown = dateStyle || timeStyle ? { dateStyle, timeStyle } : fields;
        for (const [name, value] of Object.entries(shown)) if (value !== undefined) options[name] = value;
        return options;
      }
      static supportedLocalesOf(locales) {
        return $.web.locales.list(locales).filter((tag) => $.web.locales.known(tag) !== undefined);
      }
    }
    Object.defineProperty(DateTimeFormat, "length", { value: 0, configurable: true });

    const zoneOf = (name) => {
      if (/^[+-]\d\d(:?\d\d)?$/.test(name)) {
        const digits = name.replace(":", "").padEnd(5, "0");
        return `${digits.slice(0, 3)}:${digits.slice(3)}`;
      }
      if (UTC_NAMES.includes(name.toLowerCase())) return "UTC";
      return $.host("intl.zone_name", name);
    };

    // The fields of an instant in a time zone.
    const momentOf = (at, zone) => {
      let [offset, letters] = [0, "UTC"];
      if (/^[+-]/.test(zone)) {
        const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4));
        [offset, letters] = [(zone[0] === "-" ? -60 : 60) * minutes, ""];
      } else if (zone !== "UTC") {
        const [seconds, name] = $.host("intl.zone", zone, at).split(" ");
        [offset, letters] = [Number(seconds), name];
      }
      const date = new Date(at + offset * 1000);
      return {
        offset,
        letters,
        zone,
        year: date.getUTCFullYear(),
        month: date.getUTCMonth(),
        day: date.getUTCDate(),
        weekday: date.getUTCDay(),
        hour: date.getUTCHours(),
        minute: date.getUTCMinutes(),
        second: date.getUTCSeconds(),
        millisecond: date.getUTCMilliseconds(),
      };
    };

    const hourOf = (hour, cycle) => {
      if (cycle === "h12") return hour % 12 || 12;
      if (cycle === "h11") return hour % 12;
      return cycle === "h24" && hour === 0 ? 24 : hour;
    };
    const dayPeriod = (hour, locale) => {
      if (locale === "en-CA") return hour < 12 ? "a.m." : "p.m.";
      return locale === "en-GB" ? (hour < 12 ? "am" : "pm") : hour < 12 ? "AM" : "PM";
    };
    const named = (name, form, narrow) => (form === "long" ? name : name.slice(0, form === "short" ? 3 : narrow));
    const monthName = (month, form, locale) =>
      form === "short" && month === 8 && locale === "en-GB" ? "Sept" : named(MONTHS[month], form, 1);
    // Before the year 1 came the year 1 before Christ, whether its era is shown or not.
    const yearOf = ({ year }, form) => {
      const shown = year <= 0 ? 1 - year : year;
      return form === "2-digit" ? pad(shown % 100) : `${shown}`;
    };

    const textDate = ({ era, year, month, day }, moment, order, locale) => {
      const name = { type: "month", value: monthName(moment.month, month, locale) };
      const parts = [name];
      if (day) {
        const number = { type: "day", value: day === "2-digit" ? pad(moment.day) : `${moment.day}` };
        if (order === "dmy") parts.unshift(number, literal(" "));
        else parts.push(literal(" "), number);
      }
      if (year) {
        parts.push(literal(day && order !== "dmy" ? ", " : " "));
        parts.push({ type: "year", value: yearOf(moment, year) });
      }
      return parts;
    };

    const digitDate = ({ era, year, month, day }, moment, order, locale) => {
      const parts = [];
      const isPadded = order !== "mdy" && [year, month, day].filter(Boolean).length > 1;
      const number = (value, form) => (form === "2-digit" || isPadded ? pad(value) : `${value}`);
      const shown = {
        y: year && { type: "year", value: yearOf(moment, year) },
        m: month && { type: "month", value: number(moment.month + 1, month) },
        d: day && { type: "day", value: number(moment.day, day) },
      };
      if (order !== "mdy" && month && day && month !== day) unavailable(`Digits of different lengths in ${locale}`);
      if (year && day && !month) unavailable("A year and a day without a month");
      const separator = order === "ymd" ? "-" : "/";
      for (const field of order) {
        if (!shown[field]) continue;
        if (parts.length > 0) parts.push(literal(separator));
        parts.push(shown[field]);
      }
      return parts;
    };

    const offsetName = (offset, isLong) => {
      if (offset === 0) return "GMT";
      const sign = offset < 0 ? "-" : "+";
      const [hours, minutes, seconds] = [3600, 60, 1].map((unit) => Math.floor(Math.abs(offset) / unit) % 60);
      const end = seconds > 0 ? `:${pad(seconds)}` : "";
      if (isLong) return `GMT${sign}${pad(hours)}:${pad(minutes)}${end}`;
      return `GMT${sign}${hours}${minutes > 0 || end ? `:${pad(minutes)}` : ""}${end}`;
    };
    const zoneName = ({ offset, letters, zone }, form, locale) => {
      if (form === "shortOffset") return offsetName(offset, false);
      if (form === "longOffset") return offsetName(offset, true);
      if (zone === "UTC" && form === "short") return "UTC";
      if (zone === "UTC" && form === "long") return "Coordinated Universal Time";
      const isAmerican = letters in LONG_NAMES && /^(America|US|Pacific|Canada)\//.test(zone);
      const isHome = locale === "en-GB" ? zone === "Europe/London" : isAmerican;
      if (form === "short") return isHome ? letters : offsetName(offset, false);
      if (form === "long" && isAmerican) return LONG_NAMES[letters];
      if (form === "long" && offset === 0 && letters === "GMT") return "Greenwich Mean Time";
      const region = zone.slice(0, Math.max(0, zone.indexOf("/")));
      const name = ZONES[`${zone} ${letters}`] ?? REGIONAL_NAMES[region]?.[letters];
      if (form === "long" && name !== undefined) return name;
      return unavailable(`The name of the time zone ${zone} in the form "${form}"`);
    };

    return { DateTimeFormat: $.tag(DateTimeFormat, "Intl.DateTimeFormat") };
  });
})();
