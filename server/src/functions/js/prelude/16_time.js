// Date and performance, whose clock is the host's: fixed in queries and mutations, real in actions.
(() => {
  const NativeDate = Date;
  const now = () => $.host("time.now");

  // Texts that the engine reads otherwise than V8: ISO dates that a blank or an offset without colons follows, offsets
  // without a time, and days that no month has.
  const ISO = /^\d{4}-\d\d-\d\d(?:T|$)/;
  const WITH_OFFSET = /^\s*(\d{4})[-/](\d\d)[-/](\d\d)[ T]+(\d\d:\d\d)(:\d\d)?(\.\d{1,3})?\d*\s*([+-]\d\d)(?::?(\d\d))?\s*$/;
  const WITHOUT_TIME = /^([^:]*\d{4}) +((?:GMT|UTC)[+-]\d{4})$/i;
  const IN_DIGITS = /^\s*(\d{1,2})[/-](\d{1,2})[/-]\d{4}\b/;
  const IN_WORDS = /^\s*(?:[a-z]{3,}\.?,? +)?[a-z]{3,}\.? +(\d{1,2}),? +\d{4}\b/i;
  const { exec, test } = RegExp.prototype;
  const found = (form, text) => Reflect.apply(exec, form, [text]);
  const readable = (text) => {
    if (Reflect.apply(test, ISO, [text]) && text.length <= 10) return text;
    const offset = found(WITH_OFFSET, text);
    if (offset !== null) {
      const [, year, month, day, time, seconds = ":00", fraction = "", hours, minutes = "00"] = offset;
      return `${year}-${month}-${day}T${time}${seconds}${fraction}${hours}:${minutes}`;
    }
    const untimed = found(WITHOUT_TIME, text);
    if (untimed !== null) return `${untimed[1]} 00:00:00 ${untimed[2]}`;
    const digits = found(IN_DIGITS, text);
    if (digits !== null && !(digits[1] >= 1 && digits[1] <= 12 && digits[2] >= 1 && digits[2] <= 31)) return "";
    const words = found(IN_WORDS, text);
    return words !== null && !(words[1] >= 1 && words[1] <= 31) ? "" : text;
  };

  function DateOfHost(...parts) {
    if (new.target === undefined) return new NativeDate(now()).toString();
    if (parts.length === 1 && typeof parts[0] === "string") parts[0] = readable(parts[0]);
    return Reflect.construct(NativeDate, parts.length === 0 ? [now()] : parts, new.target);
  }
  const copy = (name, value) =>
    Object.defineProperty(DateOfHost, name, { value, writable: true, configurable: true });
  Object.defineProperty(DateOfHost, "name", { value: "Date", configurable: true });
  Object.defineProperty(DateOfHost, "length", { value: 7, configurable: true });
  Object.defineProperty(DateOfHost, "prototype", { value: NativeDate.prototype, writable: false });
  copy("now", { now: () => now() }.now);
  copy("parse", { parse: (text) => NativeDate.parse(readable($.text(text))) }.parse);
  copy("UTC", NativeDate.UTC);
  Object.defineProperty(NativeDate.prototype, "constructor", {
    value: DateOfHost,
    writable: true,
    configurable: true,
  });
  // The engine leaves out the zone's name, which is always the same.
  for (const name of ["toString", "toTimeString"]) {
    const native = NativeDate.prototype[name];
    const named = {
      [name]() {
        const text = native.call(this);
        return text === "Invalid Date" || text.endsWith(")") ? text : `${text} (Coordinated Universal Time)`;
      },
    }[name];
    Object.defineProperty(NativeDate.prototype, name, { value: named, writable: true, configurable: true });
  }
  $.global("Date", DateOfHost);

  $.part(
    ["performance", "Performance", "PerformanceEntry", "PerformanceMark", "PerformanceMeasure"],
    [],
    () => {
      const ENTRIES_MAX = 10_000;
      const start = () => $.host("time.performance");

      class PerformanceEntry {
        #values;
        constructor(secret, values) {
          if (secret !== $.secret) $.illegal();
          this.#values = values;
        }
        get name() {
          return this.#values.name;
        }
        get entryType() {
          return this.#values.entryType;
        }
        get startTime() {
          return this.#values.startTime;
        }
        get duration() {
          return this.#values.duration;
        }
        get detail() {
          return this.#values.detail;
        }
        toJSON() {
          return { ...this.#values };
        }
      }

      class PerformanceMark extends PerformanceEntry {
        constructor(name, options = {}) {
          const startTime = options.startTime ?? start();
          super($.secret, { name: `${name}`, entryType: "mark", startTime, duration: 0, detail: detailOf(options) });
        }
      }

      class PerformanceMeasure extends PerformanceEntry {}

      const detailOf = ({ detail }) => (detail === undefined ? null : $.web.structuredClone(detail));

      class Performance {
        #entries = [];
        constructor(secret) {
          if (secret !== $.secret) $.illegal();
        }
        get timeOrigin() {
          return $.host("time.origin");
        }
        now() {
          return start();
        }
        mark(name, options) {
          return this.#keep(new PerformanceMark(name, options));
        }
        measure(name, startOrOptions, endMark) {
          const options = typeof startOrOptions === "object" && startOrOptions !== null ? startOrOptions : {};
          const from = options === startOrOptions ? options.start : startOrOptions;
          const to = options === startOrOptions ? options.end : endMark;
          let endTime = to !== undefined ? this.#time(to) : undefined;
          let startTime = from !== undefined ? this.#time(from) : undefined;
          if (endTime === undefined && startTime !== undefined && options.duration !== undefined) {
            endTime = startTime + options.duration;
          }
          endTime ??= start();
          startTime ??= options.duration !== undefined ? endTime - options.duration : 0;
          const values = { name: `${name}`, entryType: "measure", startTime, duration: endTime - startTime };
          return this.#keep(new PerformanceMeasure($.secret, { ...values, detail: detailOf(options) }));
        }
        getEntries() {
          return [...this.#entries].sort((a, b) => a.startTime - b.startTime);
        }
        getEntriesByName(name, type) {
          return this.getEntries().filter((e) => e.name === name && (type === undefined || e.entryType === type));
        }
        getEntriesByType(type) {
          return this.getEntries().filter((entry) => entry.entryType === type);
        }
        clearMarks(name) {
          this.#clear("mark", name);
        }
        clearMeasures(name) {
          this.#clear("measure", name);
        }
        toJSON() {
          return { timeOrigin: this.timeOrigin };
        }
        #keep(entry) {
          if (this.#entries.length < ENTRIES_MAX) this.#entries.push(entry);
          return entry;
        }
        #time(mark) {
          if (typeof mark === "number") return mark;
          const found = this.#entries.findLast((e) => e.entryType === "mark" && e.name === `${mark}`);
          if (!found) throw $.domException(`The mark '${mark}' does not exist.`, "SyntaxError");
          return found.startTime;
        }
        #clear(type, name) {
          const isGone = (e) => e.entryType === type && (name === undefined || e.name === `${name}`);
          this.#entries = this.#entries.filter((entry) => !isGone(entry));
        }
      }

      for (const Class of [PerformanceEntry, PerformanceMark, PerformanceMeasure, Performance]) $.tag(Class);
      const performance = new Performance($.secret);
      return { performance, Performance, PerformanceEntry, PerformanceMark, PerformanceMeasure };
    },
  );
})();
