// The stacks of errors, as V8 shows them: `Name: message`, then the frames. The engine keeps the frames alone.
(() => {
  const NativeError = Error;
  const { prototype } = NativeError;
  const { apply, defineProperty: define } = Reflect;
  const { defineProperty, getOwnPropertyDescriptor, getPrototypeOf } = Object;
  const { isError, captureStackTrace: capture } = NativeError;
  const framesIn = getOwnPropertyDescriptor(prototype, "stack").get;
  const toText = prototype.toString;
  const { exec } = RegExp.prototype;
  const { endsWith, slice, startsWith } = String.prototype;
  const known = new WeakMap();
  const [getOf, setOf] = [known.get.bind(known), known.set.bind(known)];

  const FRAME = /^ *at (?:new )?([^\s(]+) \([^\n]*\n?/;
  const OWN_FRAME = /^ *at captureStackTrace \(prelude\.js:[^\n]*\n?/;

  const isOfClass = (error, name) => {
    for (let at = getPrototypeOf(error); at !== null && at !== prototype; at = getPrototypeOf(at)) {
      if (at.constructor?.name === name) return true;
    }
    return false;
  };

  // Frames without those of the constructors of the error's own classes, which come first in this engine and in no other.
  const withoutConstructors = (error, frames) => {
    for (;;) {
      const frame = apply(exec, FRAME, [frames]);
      if (frame === null || !isOfClass(error, frame[1])) return frames;
      frames = apply(slice, frames, [frame[0].length]);
    }
  };

  const headerOf = (error) => {
    try {
      return apply(toText, error, []);
    } catch {
      return "<error>";
    }
  };

  // Whether the engine wrote it. All else comes from `Error.prepareStackTrace`, and is shown as it is.
  const isWritten = (frames) => typeof frames === "string" && (frames === "" || apply(startsWith, frames, ["    at "]));

  // The text is made when it is first asked for, and stays.
  const show = (error, frames) => {
    const lines = apply(endsWith, frames, ["\n"]) ? apply(slice, frames, [0, -1]) : frames;
    const header = headerOf(error);
    const text = lines === "" ? header : `${header}\n${lines}`;
    setOf(error, { frames, text });
    return text;
  };

  const stack = {
    get stack() {
      const found = typeof this === "object" && this !== null ? getOf(this) : undefined;
      if (found !== undefined) return found.text ?? show(this, found.frames);
      const frames = apply(framesIn, this, []);
      if (!isWritten(frames)) return frames;
      let own = frames;
      try {
        own = withoutConstructors(this, frames);
      } catch {
        // A getter of the error's own has thrown.
      }
      return show(this, own);
    },
    // Any value becomes a property of the error, as it is one in V8 from the beginning.
    set stack(value) {
      if ((typeof this !== "object" && typeof this !== "function") || this === null) throw new TypeError("not an object");
      // There it would hide the stacks of all errors.
      if (this === prototype) return;
      const enumerable = !isError(this) && getOf(this) === undefined;
      defineProperty(this, "stack", { value, writable: true, enumerable, configurable: true });
    },
  };
  const { get, set } = getOwnPropertyDescriptor(stack, "stack");
  defineProperty(prototype, "stack", { get, set, enumerable: false, configurable: true });

  const captureStackTrace = function captureStackTrace(target, above) {
    capture(target, typeof above === "function" ? above : captureStackTrace);
    const frames = getOwnPropertyDescriptor(target, "stack")?.value;
    if (!isWritten(frames)) return;
    // Where `above` is not among the callers, the frames begin with this function.
    const own = apply(exec, OWN_FRAME, [frames]);
    defineProperty(target, "stack", { get, set, enumerable: false, configurable: true });
    setOf(target, { frames: own === null ? frames : apply(slice, frames, [own[0].length]), text: undefined });
  };
  // Two parameters are what it has in V8.
  defineProperty(NativeError, "captureStackTrace", { value: captureStackTrace, writable: true, configurable: true });

  // The stack becomes the error's own where code asks for the names of what is: that is how errors are written into logs.
  const own = (error) => {
    for (let at = error; at !== prototype; at = getPrototypeOf(at)) {
      if (at === null || getOwnPropertyDescriptor(at, "stack") !== undefined) return;
    }
    define(error, "stack", { value: error.stack, writable: true, enumerable: false, configurable: true });
  };
  const names = Object.getOwnPropertyNames;
  const getOwnPropertyNames = function getOwnPropertyNames(value) {
    if (isError(value)) own(value);
    return names(value);
  };
  defineProperty(Object, "getOwnPropertyNames", { value: getOwnPropertyNames, writable: true, configurable: true });

  // The frames alone, for the host; a stack that code has written is taken as it is.
  $.framesOf = (error) => {
    const text = `${error.stack ?? ""}`;
    const found = getOf(error);
    const frames = found?.text === text ? found.frames : text;
    return withoutConstructors(error, frames);
  };
})();
