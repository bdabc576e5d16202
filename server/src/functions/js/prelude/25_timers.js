// Timers: the host waits and JavaScript runs the callback. Only actions have time to pass.
(() => {
  const DELAY_MAX = 2 ** 31 - 1;
  let lastId = 0;
  const running = new Set();

  const wait = (id, callback, delay, isRepeated) => {
    $.hostAsync("timer", id, delay).then(() => {
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
    running.add(id);
    const bound = $.bindContext(() => callback(...values));
    wait(id, bound, milliseconds > 0 && milliseconds <= DELAY_MAX ? milliseconds : isRepeated ? 1 : 0, isRepeated);
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
  if (typeof queueMicrotask !== "function") {
    $.global("queueMicrotask", function queueMicrotask(callback) {
      if (typeof callback !== "function") throw new TypeError("queueMicrotask: the callback must be a function");
      Promise.resolve().then(() => callback());
    });
  }
})();
