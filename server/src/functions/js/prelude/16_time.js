// Date and performance, whose clock is the host's: fixed in queries and mutations, real in actions.
(() => {
  const NativeDate = Date;
  const now = () => $.host("time.now");

  function DateOfHost(...parts) {
    if (new.target === undefined) return new NativeDate(now()).toString();
    return Reflect.construct(NativeDate, parts.length === 0 ? [now()] : parts, new.target);
  }
  const copy = (name, value) =>
    Object.defineProperty(DateOfHost, name, { value, writable: true, configurable: true });
  Object.defineProperty(DateOfHost, "name", { value: "Date", configurable: true });
  Object.defineProperty(DateOfHost, "length", { value: 7, configurable: true });
  Object.defineProperty(DateOfHost, "prototype", { value: NativeDate.prototype, writable: false });
  copy("now", { now: () => now() }.now);
  copy("parse", NativeDate.parse);
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
