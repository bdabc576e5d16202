// How a global is defined, and how a call is refused what its kind of function may not do.
(() => {
  const put = (target, name, value) =>
    Object.defineProperty(target, name, { value, writable: true, enumerable: false, configurable: true });

  // Defines `name` on `target`; `make` runs at its first touch.
  const putLazily = (target, name, make) =>
    Object.defineProperty(target, name, {
      configurable: true,
      enumerable: false,
      get() {
        const value = make();
        put(target, name, value);
        return value;
      },
      set(value) {
        put(target, name, value);
      },
    });

  // What scripts of the prelude share. A module can replace a global, but nothing in here.
  $.web = {};

  // Parts' globals that were touched. Nothing can be an instance of another.
  const parts = new Map();
  $.isA = (value, name) => {
    const Class = parts.get(name);
    return Class !== undefined && value instanceof Class;
  };

  // Defines a part: `make` returns an object of its values and runs when one of them is first touched.
  // `globals` become globals too, `internals` are for the prelude alone.
  $.part = (globals, internals, make) => {
    let made;
    const value = (name) => () => {
      if (made === undefined) {
        made = make();
        for (const each of globals) parts.set(each, made[each]);
      }
      return made[name];
    };
    for (const name of globals) {
      putLazily($.web, name, value(name));
      putLazily(globalThis, name, () => $.web[name]);
    }
    for (const name of internals) putLazily($.web, name, value(name));
  };

  // Defines a global at once: for what most calls touch.
  $.global = (name, value) => {
    put($.web, name, value);
    put(globalThis, name, value);
  };

  // Names a class for `Object.prototype.toString`.
  $.tag = (Class, name = Class.name) => {
    Object.defineProperty(Class.prototype, Symbol.toStringTag, { value: name, configurable: true });
    return Class;
  };

  const ACTIONS = "Please consider using an action. See https://docs.convex.dev/functions/actions for more details.";

  // Ends the call with `text`, past every `catch`.
  $.fail = (text) => $.host("fail", text);

  // Refuses `subject` outside of actions.
  $.onlyInActions = (subject) => {
    const { kind } = $.call;
    if (kind === "action" || kind === "httpAction") return;
    if (kind === "import") throw new Error(`${subject} unsupported at import time`);
    $.fail(`Can't use ${subject} in queries and mutations. ${ACTIONS}`);
  };

  $.notImplemented = (what, name) =>
    $.fail(
      `Not implemented: ${what} for ${name}. ` +
        "Consider calling an action defined in Node.js instead (https://docs.convex.dev/functions/actions).",
    );

  // A constructor that only the prelude may call, by passing `$.secret`.
  $.secret = Symbol("secret");
  $.illegal = () => {
    throw new TypeError("Illegal constructor");
  };

  // The text of a value as Web IDL's USVString: no lone surrogates.
  $.text = (value) => {
    const text = typeof value === "string" ? value : `${value}`;
    return text.isWellFormed() ? text : text.toWellFormed();
  };

  // The bytes of a buffer or a view, without copying; undefined for anything else.
  $.bytesOf = (value) => {
    if (value instanceof Uint8Array) return value;
    if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    if (value instanceof ArrayBuffer) return new Uint8Array(value);
    return undefined;
  };

  $.concat = (chunks) => {
    if (chunks.length === 1) return chunks[0];
    let length = 0;
    for (const chunk of chunks) length += chunk.byteLength;
    const all = new Uint8Array(length);
    let at = 0;
    for (const chunk of chunks) {
      all.set(chunk, at);
      at += chunk.byteLength;
    }
    return all;
  };

  put(globalThis, "self", globalThis);
  for (const name of ["window", "global", "navigator"]) delete globalThis[name];
})();
