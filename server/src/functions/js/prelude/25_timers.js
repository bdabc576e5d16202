// Timers: the host waits and JavaScript runs the callback. Only actions have time to pass.
(() => {
  const DELAY_MAX = 2 ** 31 - 1;
  let lastId = 0;
  const running = new Set();

  const wait = (id, callback, delay, isRepeated) => {
    $.hostBegin("timer", id, delay).then(() => {
      if (!running.has(id)) return;
      if (!isRepeated) running.delete(id);
      try {
        callback();
      } finally {
        if (running.has(id)) wait(id, callback, delay, isRepeated);
      }
    });
  };

  const start = (subject, callback, delay, values, isRepeated) => {
    $.onlyInActions(subject);
    if (typeof callback !== "function") throw new TypeError(`${subject}: the callback must be a function`);
    const milliseconds = Math.trunc(Number(delay)) || 0;
    const id = ++lastId;
    const bound = $.bindContext(() => callback(...values));
    // It throws where an action has too much under way.
    wait(id, bound, milliseconds > 0 && milliseconds <= DELAY_MAX ? milliseconds : isRepeated ? 1 : 0, isRepeated);
    running.add(id);
    return id;
  };

  const clear = (id) => {
    if (running.delete(Number(id))) $.host("timer.clear", Number(id));
  };

  $.global("setTimeout", function setTimeout(callback, delay, ...values) {
    return start("setTimeout", callback, delay, values, false);
  });
  $.global("setInterval", function setInterval(callback, delay, ...values) {
    return start("setInterval", callback, delay, values, true);
  });
  $.global("clearTimeout", function clearTimeout(id) {
    clear(id);
  });
  $.global("clearInterval", function clearInterval(id) {
    clear(id);
  });
  const later = globalThis.queueMicrotask ?? ((callback) => Promise.resolve().then(() => callback()));
  $.global("queueMicrotask", function queueMicrotask(callback) {
    if (typeof callback !== "function") throw new TypeError("queueMicrotask: the callback must be a function");
    later($.bindContext(callback));
  });
})();
