// AsyncLocalStorage and AsyncResource over one value that the engine carries along promises: a map from storage to
// store. Where the engine carries nothing, the value lives as long as the synchronous call.
(() => {
  let current;
  const carried = $.asyncContext ?? {
    get: () => current,
    set: (value) => {
      current = value;
    },
    enter: (value) => {
      current = value;
    },
  };
  // How often stores were entered.
  let entered = 0;

  // Runs `callback` with the stores of `context`.
  const within = (context, callback) => {
    const before = carried.get();
    const enteredBefore = entered;
    carried.set(context);
    try {
      return callback();
    } finally {
      // What was entered inside has reached the functions around this one too.
      if (entered === enteredBefore) carried.set(before);
      else carried.enter(before);
    }
  };

  // `callback` with the stores of now, whenever it is called.
  $.bindContext = (callback) => {
    const context = carried.get();
    if (context === undefined) return callback;
    return function (...values) {
      return within(context, () => callback.apply(this, values));
    };
  };

  $.part(["AsyncLocalStorage", "AsyncResource"], [], () => {
    class AsyncLocalStorage {
      #isEnabled = true;
      #default;
      #name;
      constructor(options = {}) {
        this.#default = options?.defaultValue;
        this.#name = options?.name ?? "";
      }
      get name() {
        return this.#name;
      }
      static bind(callback) {
        return $.bindContext(callback);
      }
      static snapshot() {
        return $.bindContext((callback, ...values) => callback(...values));
      }
      run(store, callback, ...values) {
        this.#isEnabled = true;
        return within(this.#with(store), () => callback(...values));
      }
      exit(callback, ...values) {
        return within(this.#with(undefined), () => callback(...values));
      }
      enterWith(store) {
        this.#isEnabled = true;
        entered += 1;
        carried.enter(this.#with(store));
      }
      getStore() {
        if (!this.#isEnabled) return undefined;
        const stores = carried.get();
        return stores?.has(this) ? stores.get(this) : this.#default;
      }
      disable() {
        this.#isEnabled = false;
      }
      #with(store) {
        return new Map(carried.get()).set(this, store);
      }
    }

    class AsyncResource {
      #type;
      #run = AsyncLocalStorage.snapshot();
      constructor(type) {
        this.#type = `${type}`;
      }
      get type() {
        return this.#type;
      }
      static bind(callback, type, thisArg) {
        return new AsyncResource(type ?? callback.name ?? "bound").bind(callback, thisArg);
      }
      bind(callback, thisArg) {
        const resource = this;
        return function (...values) {
          return resource.runInAsyncScope(callback, thisArg ?? this, ...values);
        };
      }
      runInAsyncScope(callback, thisArg, ...values) {
        return this.#run(() => callback.apply(thisArg, values));
      }
      emitDestroy() {
        return this;
      }
      asyncId() {
        return 0;
      }
      triggerAsyncId() {
        return 0;
      }
    }
    return { AsyncLocalStorage, AsyncResource };
  });
})();
