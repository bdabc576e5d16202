// AbortController and AbortSignal.
(() => {
  $.part(["AbortController", "AbortSignal"], ["abortSignal", "whenAborted"], () => {
    const { Event, EventTarget } = $.web;

    class AbortSignal extends EventTarget {
      #isAborted = false;
      #reason;
      // What the runtime itself does at the abort, before any listener hears of it.
      #steps = new Set();
      #dependents = new Set();
      // For a request's signal: begins to wait for its client at the first look.
      #begin;

      constructor(secret, begin) {
        if (secret !== $.secret) $.illegal();
        super();
        this.#begin = begin;
      }
      #look() {
        const begin = this.#begin;
        this.#begin = undefined;
        begin?.((reason) => this.#abort(reason));
      }
      get aborted() {
        this.#look();
        return this.#isAborted;
      }
      get reason() {
        return this.#reason;
      }
      get onabort() {
        return $.web.getHandler(this, "abort");
      }
      set onabort(callback) {
        this.#look();
        $.web.setHandler(this, "abort", callback);
      }
      throwIfAborted() {
        if (this.#isAborted) throw this.#reason;
      }
      addEventListener(...parts) {
        this.#look();
        super.addEventListener(...parts);
      }
      #abort(reason = $.domException("This operation was aborted", "AbortError")) {
        if (this.#isAborted) return;
        this.#isAborted = true;
        this.#reason = reason;
        for (const step of this.#steps) step(reason);
        this.#steps.clear();
        this.dispatchEvent($.web.trust(new Event("abort")));
        for (const dependent of this.#dependents) dependent.#abort(reason);
      }

      static abort(reason) {
        const signal = new AbortSignal($.secret);
        signal.#abort(reason);
        return signal;
      }
      static timeout(milliseconds) {
        if (!(milliseconds >= 0)) throw new TypeError("AbortSignal.timeout: the time must not be negative");
        const signal = new AbortSignal($.secret);
        const reason = () => $.domException("The operation was aborted due to timeout", "TimeoutError");
        $.web.setTimeout(() => signal.#abort(reason()), milliseconds);
        return signal;
      }
      static any(signals) {
        const all = [...signals];
        const combined = new AbortSignal($.secret);
        for (const signal of all) {
          if (!(signal instanceof AbortSignal)) throw new TypeError("AbortSignal.any: not an AbortSignal");
        }
        const aborted = all.find((signal) => signal.#isAborted);
        if (aborted) combined.#abort(aborted.#reason);
        else {
          for (const signal of all) {
            signal.#look();
            signal.#dependents.add(combined);
          }
        }
        return combined;
      }

      static signal(begin) {
        const signal = new AbortSignal($.secret, begin);
        return { signal, abort: (reason) => signal.#abort(reason) };
      }
      static when(signal, step) {
        signal.#look();
        if (signal.#isAborted) step(signal.#reason);
        else signal.#steps.add(step);
        return () => signal.#steps.delete(step);
      }
    }
    const { signal: abortSignal, when: whenAborted } = AbortSignal;
    delete AbortSignal.signal;
    delete AbortSignal.when;

    class AbortController {
      #inner = abortSignal();
      get signal() {
        return this.#inner.signal;
      }
      abort(reason) {
        this.#inner.abort(reason);
      }
    }
    return {
      AbortController: $.tag(AbortController),
      AbortSignal: $.tag(AbortSignal),
      // `abortSignal(begin?)` → `{ signal, abort }`.
      abortSignal,
      // `whenAborted(signal, step)` → a function that takes the step back.
      whenAborted,
    };
  });
})();
