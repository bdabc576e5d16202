// What the engine has and functions must not see, or must see otherwise. Runs before the prelude.
(() => {
  "use strict";
  delete globalThis.SharedArrayBuffer;
  delete globalThis.Atomics;

  const define = (name, value) =>
    Object.defineProperty(globalThis, name, { value, writable: true, enumerable: false, configurable: true });
  const tag = (prototype, name) =>
    Object.defineProperty(prototype, Symbol.toStringTag, { value: name, configurable: true });
  const mayBeHeld = (value) =>
    (typeof value === "object" && value !== null) ||
    typeof value === "function" ||
    (typeof value === "symbol" && Symbol.keyFor(value) === undefined);

  // Collections of garbage must not show, so a weak reference holds what it names...
  class WeakRef {
    #target;
    constructor(target) {
      if (!mayBeHeld(target)) throw new TypeError("WeakRef: target must be an object");
      this.#target = target;
    }
    deref() {
      return this.#target;
    }
  }
  tag(WeakRef.prototype, "WeakRef");
  define("WeakRef", WeakRef);

  // ...and nobody hears of an object's end.
  class FinalizationRegistry {
    #tokens = new WeakMap();
    constructor(cleanup) {
      if (typeof cleanup !== "function") throw new TypeError("FinalizationRegistry: cleanup must be callable");
    }
    register(target, held, token) {
      if (!mayBeHeld(target)) throw new TypeError("FinalizationRegistry: invalid target");
      if (token !== undefined) {
        if (!mayBeHeld(token)) throw new TypeError("FinalizationRegistry: invalid unregister token");
        this.#tokens.set(token, true);
      }
    }
    unregister(token) {
      if (!mayBeHeld(token)) throw new TypeError("FinalizationRegistry: invalid unregister token");
      return this.#tokens.delete(token);
    }
  }
  tag(FinalizationRegistry.prototype, "FinalizationRegistry");
  define("FinalizationRegistry", FinalizationRegistry);
})();
