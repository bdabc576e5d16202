// console: each call is one line, whose arguments are shown here and bounded by the host.
(() => {
  const send = (level, messages) => {
    $.host("console", level, JSON.stringify(messages.map($.text)));
  };
  const line = (level) => (...values) => send(level, values.map($.inspect));

  const timers = new Map();
  const counts = new Map();
  const label = (value) => (value === undefined ? "default" : `${value}`);

  // Says how long timer `name` has run; false when there is none.
  const tell = (name, values) => {
    const start = timers.get(name);
    if (start === undefined) {
      send("WARN", [`Timer '${name}' does not exist`]);
      return false;
    }
    const elapsed = Math.round($.host("time.elapsed") - start);
    send("INFO", [`${name}: ${elapsed}ms`, ...values.map($.inspect)]);
    return true;
  };

  const console = {
    debug: line("DEBUG"),
    error: line("ERROR"),
    info: line("INFO"),
    log: line("LOG"),
    warn: line("WARN"),
    dir: (value) => send("LOG", [$.inspect(value)]),
    table: (value) => send("LOG", [$.inspect(value)]),
    group: line("LOG"),
    groupCollapsed: line("LOG"),
    groupEnd() {},
    trace(...values) {
      // The host shows the places in the developer's own files.
      $.host("console", "LOG", JSON.stringify(values.map($.inspect).map($.text)), $.framesOf(new Error()));
    },
    assert(condition, ...values) {
      if (!condition) send("ERROR", ["Assertion failed", ...values.map($.inspect)]);
    },
    count(value) {
      const name = label(value);
      const count = (counts.get(name) ?? 0) + 1;
      counts.set(name, count);
      send("INFO", [`${name}: ${count}`]);
    },
    countReset(value) {
      counts.delete(label(value));
    },
    time(value) {
      const name = label(value);
      if (timers.has(name)) send("WARN", [`Timer '${name}' already exists`]);
      else timers.set(name, $.host("time.elapsed"));
    },
    timeLog(value, ...values) {
      tell(label(value), values);
    },
    timeEnd(value) {
      const name = label(value);
      if (tell(name, [])) timers.delete(name);
    },
  };
  Object.defineProperty(console, Symbol.toStringTag, { value: "console", configurable: true });
  $.global("console", console);
})();
