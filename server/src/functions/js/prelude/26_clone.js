// structuredClone, without a transfer list.
(() => {
  $.part(["structuredClone"], [], () => {
    const ERRORS = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

    const refuse = (value) => {
      const text = typeof value === "symbol" ? value.toString() : typeof value === "function" ? `${value.name}` : "#<Object>";
      throw $.domException(`${text} could not be cloned.`, "DataCloneError");
    };

    const cloneError = (error, clone) => {
      const Class = ERRORS[error.name] ?? Error;
      const copy = new Class(error.message);
      const put = (name, value) => Object.defineProperty(copy, name, { value, writable: true, configurable: true });
      if (error.stack !== undefined) put("stack", error.stack);
      if (Object.hasOwn(error, "cause")) put("cause", clone(error.cause));
      return copy;
    };

    const cloneAll = (root) => {
      const known = new Map();
      const clone = (value) => {
        if (typeof value === "symbol" || typeof value === "function") refuse(value);
        if (typeof value !== "object" || value === null) return value;
        if (known.has(value)) return known.get(value);
        const keep = (copy) => {
          known.set(value, copy);
          return copy;
        };
        const entries = (copy) => {
          for (const key of Object.keys(value)) copy[key] = clone(value[key]);
          return copy;
        };
        if (Array.isArray(value)) return entries(keep(new Array(value.length)));
        if (value instanceof Date) return keep(new Date(value.getTime()));
        if (value instanceof RegExp) return keep(new RegExp(value.source, value.flags));
        if (value instanceof Map) {
          const copy = keep(new Map());
          for (const [key, item] of [...value]) copy.set(clone(key), clone(item));
          return copy;
        }
        if (value instanceof Set) {
          const copy = keep(new Set());
          for (const item of [...value]) copy.add(clone(item));
          return copy;
        }
        if (value instanceof ArrayBuffer) return keep(value.slice(0));
        if (ArrayBuffer.isView(value)) {
          const length = value instanceof DataView ? value.byteLength : value.length;
          return keep(new value.constructor(clone(value.buffer), value.byteOffset, length));
        }
        if (value instanceof DOMException) return keep(new DOMException(value.message, value.name));
        if (value instanceof Error) return keep(cloneError(value, clone));
        for (const Boxed of [Boolean, Number, String, BigInt]) {
          if (value instanceof Boxed) return keep(Object(value.valueOf()));
        }
        if ($.isA(value, "Blob")) return value;
        if (isOpaque(value)) refuse(value);
        return entries(keep({}));
      };
      return clone(root);
    };

    const { DOMException } = $.web;
    const OPAQUE = [WeakMap, WeakSet, WeakRef, Promise];
    // They could only be transferred.
    const STREAMS = ["ReadableStream", "WritableStream", "TransformStream"];
    const isOpaque = (value) =>
      OPAQUE.some((Class) => value instanceof Class) || STREAMS.some((name) => $.isA(value, name));

    const structuredClone = function structuredClone(value, options) {
      if (arguments.length === 0) throw new TypeError("structuredClone: 1 argument required, but only 0 present");
      if ([...(options?.transfer ?? [])].length > 0) $.notImplemented("transfer", "structuredClone");
      return cloneAll(value);
    };
    return { structuredClone };
  });
})();
