// What all streams share: queues with sizes, strategies, promises that nobody has to handle.
(() => {
  $.part(["ByteLengthQueuingStrategy", "CountQueuingStrategy"], ["streams"], () => {
    const noop = () => {};

    // Marks a promise as handled: what it rejects with is told elsewhere too.
    const handled = (promise) => {
      promise.catch(noop);
      return promise;
    };
    const rejected = (error) => handled(Promise.reject(error));

    // A promise of what `callback` returns; what it throws rejects it.
    const attempt = (callback, ...values) => {
      try {
        return Promise.resolve(callback(...values));
      } catch (error) {
        return Promise.reject(error);
      }
    };

    // A callback of the user's object as a function of its own, if there is one.
    const method = (owner, name) => {
      const callback = owner?.[name];
      if (callback === undefined) return undefined;
      if (typeof callback !== "function") throw new TypeError(`${name} must be a function`);
      return (...values) => callback.apply(owner, values);
    };

    // Chunks with their sizes.
    class Queue {
      #entries = [];
      #head = 0;
      total = 0;
      get length() {
        return this.#entries.length - this.#head;
      }
      push(value, size) {
        if (typeof size !== "number" || !(size >= 0) || size === Infinity) {
          throw new RangeError("The return value of a queuing strategy's size function must be a finite, non-negative number");
        }
        this.#entries.push({ value, size });
        this.total += size;
      }
      peek() {
        return this.#entries[this.#head].value;
      }
      shift() {
        const { value, size } = this.#entries[this.#head];
        this.#entries[this.#head++] = undefined;
        if (this.#head > 64 && this.#head * 2 > this.#entries.length) {
          this.#entries = this.#entries.slice(this.#head);
          this.#head = 0;
        }
        this.total = Math.max(0, this.total - size);
        return value;
      }
      clear() {
        this.#entries = [];
        this.#head = 0;
        this.total = 0;
      }
    }

    const highWaterMark = (strategy, otherwise) => {
      const value = strategy?.highWaterMark;
      if (value === undefined) return otherwise;
      const mark = Number(value);
      if (Number.isNaN(mark) || mark < 0) throw new RangeError("Invalid highWaterMark");
      return mark;
    };
    const sizeOf = (strategy) => {
      const size = method(strategy, "size");
      return size ? (chunk) => Number(size(chunk)) : () => 1;
    };

    class Strategy {
      #highWaterMark;
      constructor(init) {
        if (init?.highWaterMark === undefined) throw new TypeError("highWaterMark is required");
        this.#highWaterMark = Number(init.highWaterMark);
      }
      get highWaterMark() {
        return this.#highWaterMark;
      }
    }
    const byteLength = { size: (chunk) => chunk.byteLength }.size;
    const one = { size: () => 1 }.size;
    class ByteLengthQueuingStrategy extends Strategy {
      get size() {
        return byteLength;
      }
    }
    class CountQueuingStrategy extends Strategy {
      get size() {
        return one;
      }
    }
    return {
      ByteLengthQueuingStrategy: $.tag(ByteLengthQueuingStrategy),
      CountQueuingStrategy: $.tag(CountQueuingStrategy),
      streams: { noop, handled, rejected, attempt, method, Queue, highWaterMark, sizeOf },
    };
  });
})();
