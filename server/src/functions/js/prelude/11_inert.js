// What would show when memory is collected, made blind to it; and what is not here at all.
(() => {
  $.global(
    "WeakRef",
    $.tag(
      class WeakRef {
        #target;
        constructor(target) {
          if (!isCollectable(target)) throw new TypeError("WeakRef: invalid target");
          this.#target = target;
        }
        deref() {
          return this.#target;
        }
      },
    ),
  );

  $.global(
    "FinalizationRegistry",
    $.tag(
      class FinalizationRegistry {
        constructor(cleanup) {
          if (typeof cleanup !== "function") throw new TypeError("FinalizationRegistry: cleanup must be callable");
        }
        register() {}
        unregister() {
          return false;
        }
      },
    ),
  );

  function isCollectable(value) {
    if (typeof value === "symbol") return Symbol.keyFor(value) === undefined;
    return (typeof value === "object" && value !== null) || typeof value === "function";
  }

  const unavailable = () => {
    throw new Error("WebAssembly is not available in this runtime");
  };
  const rejected = async () => unavailable();
  $.global("WebAssembly", {
    Module: class Module {
      constructor() {
        unavailable();
      }
    },
    Instance: class Instance {
      constructor() {
        unavailable();
      }
    },
    Memory: class Memory {
      constructor() {
        unavailable();
      }
    },
    Table: class Table {
      constructor() {
        unavailable();
      }
    },
    Global: class Global {
      constructor() {
        unavailable();
      }
    },
    compile: rejected,
    compileStreaming: rejected,
    instantiate: rejected,
    instantiateStreaming: rejected,
    validate: () => false,
    [Symbol.toStringTag]: "WebAssembly",
  });
})();
