// What is behind a ReadableStream: its state, its default controller and its readers. The classes that functions see
// are in 53_readable_stream.js.
(() => {
  $.part([], ["readable"], () => {
    const { noop, handled, rejected, attempt, Queue } = $.web.streams;

    class Readable {
      state = "readable";
      error;
      reader;
      isDisturbed = false;
      controller;
      stream;

      close() {
        this.state = "closed";
        const { reader } = this;
        if (!reader) return;
        reader.closed.resolve();
        if (!reader.isByob) for (const request of reader.take()) request.close();
      }
      fail(error) {
        this.state = "errored";
        this.error = error;
        const { reader } = this;
        if (!reader) return;
        reader.closed.reject(error);
        for (const request of reader.take()) request.fail(error);
      }
      cancel(reason) {
        this.isDisturbed = true;
        if (this.state === "closed") return Promise.resolve();
        if (this.state === "errored") return Promise.reject(this.error);
        this.close();
        const { reader } = this;
        if (reader?.isByob) for (const request of reader.take()) request.close(undefined);
        return this.controller.cancel(reason).then(noop);
      }
      get requestCount() {
        return this.reader && !this.reader.isByob ? this.reader.requests.length : 0;
      }
      get byobRequestCount() {
        return this.reader?.isByob ? this.reader.requests.length : 0;
      }
      // Gives the oldest request a chunk.
      fulfil(chunk) {
        this.reader.requests.shift().chunk(chunk);
      }
    }

    // A lock on a stream, and the reads that wait for chunks: `{ chunk(value), close(value), fail(error) }`.
    class Reader {
      source;
      requests = [];
      closed = Promise.withResolvers();
      constructor(source, isByob = false) {
        if (source.reader) throw new TypeError("The stream is locked to a reader");
        this.isByob = isByob;
        this.source = source;
        source.reader = this;
        handled(this.closed.promise);
        if (source.state === "closed") this.closed.resolve();
        if (source.state === "errored") this.closed.reject(source.error);
      }
      take() {
        const { requests } = this;
        this.requests = [];
        return requests;
      }
      read(request) {
        const { source } = this;
        source.isDisturbed = true;
        if (source.state === "closed") request.close();
        else if (source.state === "errored") request.fail(source.error);
        else source.controller.pull(request);
      }
      // The next chunk as a promise of `{ value, done }`.
      next() {
        if (!this.source) return rejected(new TypeError("The reader was released"));
        return new Promise((resolve, reject) => {
          this.read({
            chunk: (value) => resolve({ value, done: false }),
            close: () => resolve({ value: undefined, done: true }),
            fail: reject,
          });
        });
      }
      cancel(reason) {
        if (!this.source) return rejected(new TypeError("The reader was released"));
        return this.source.cancel(reason);
      }
      release() {
        const { source } = this;
        if (!source) return;
        const error = new TypeError("The reader was released");
        if (source.state !== "readable") this.closed = Promise.withResolvers();
        this.closed.reject(error);
        handled(this.closed.promise);
        source.controller.release?.();
        source.reader = undefined;
        this.source = undefined;
        for (const request of this.take()) request.fail(error);
      }
    }

    class DefaultController {
      #queue = new Queue();
      #isStarted = false;
      #isCloseRequested = false;
      #isPulling = false;
      #pullsAgain = false;
      #pull;
      #cancel;
      #size;
      #highWaterMark;

      constructor(readable, { start, pull, cancel, size = () => 1, highWaterMark = 1 }, face) {
        this.readable = readable;
        readable.controller = this;
        this.#pull = pull ?? noop;
        this.#cancel = cancel ?? noop;
        this.#size = size;
        this.#highWaterMark = highWaterMark;
        this.face = face?.(this) ?? this;
        const started = start?.(this.face);
        Promise.resolve(started).then(
          () => {
            this.#isStarted = true;
            this.pullIfNeeded();
          },
          (error) => this.fail(error),
        );
      }
      get desiredSize() {
        if (this.readable.state === "errored") return null;
        return this.readable.state === "closed" ? 0 : this.#highWaterMark - this.#queue.total;
      }
      get canCloseOrEnqueue() {
        return !this.#isCloseRequested && this.readable.state === "readable";
      }
      get hasBackpressure() {
        return !this.#shouldPull();
      }
      #shouldPull() {
        if (!this.canCloseOrEnqueue || !this.#isStarted) return false;
        return this.readable.requestCount > 0 || this.desiredSize > 0;
      }
      pullIfNeeded() {
        if (!this.#shouldPull()) return;
        if (this.#isPulling) {
          this.#pullsAgain = true;
          return;
        }
        this.#isPulling = true;
        attempt(this.#pull, this.face).then(
          () => {
            this.#isPulling = false;
            if (!this.#pullsAgain) return;
            this.#pullsAgain = false;
            this.pullIfNeeded();
          },
          (error) => this.fail(error),
        );
      }
      pull(request) {
        if (this.#queue.length === 0) {
          this.readable.reader.requests.push(request);
          this.pullIfNeeded();
          return;
        }
        const chunk = this.#queue.shift();
        if (this.#isCloseRequested && this.#queue.length === 0) {
          this.#forget();
          this.readable.close();
        } else this.pullIfNeeded();
        request.chunk(chunk);
      }
      enqueue(chunk) {
        if (!this.canCloseOrEnqueue) throw new TypeError("The stream is closed or about to be");
        if (this.readable.requestCount > 0) this.readable.fulfil(chunk);
        else {
          try {
            this.#queue.push(chunk, this.#size(chunk));
          } catch (error) {
            this.fail(error);
            throw error;
          }
        }
        this.pullIfNeeded();
      }
      close() {
        if (!this.canCloseOrEnqueue) throw new TypeError("The stream is closed or about to be");
        this.#isCloseRequested = true;
        if (this.#queue.length > 0) return;
        this.#forget();
        this.readable.close();
      }
      fail(error) {
        if (this.readable.state !== "readable") return;
        this.#queue.clear();
        this.#forget();
        this.readable.fail(error);
      }
      cancel(reason) {
        this.#queue.clear();
        const cancel = this.#cancel;
        this.#forget();
        return attempt(cancel, reason);
      }
      #forget() {
        this.#pull = this.#cancel = noop;
        this.#size = () => 1;
      }
    }

    return { readable: { Readable, Reader, DefaultController } };
  });
})();
