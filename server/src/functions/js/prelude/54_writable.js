// WritableStream, its writer and its controller.
(() => {
  const CLASSES = ["WritableStream", "WritableStreamDefaultWriter", "WritableStreamDefaultController"];
  $.part(CLASSES, ["writableOf", "makeWritable", "writerOf"], () => {
    const { noop, handled, rejected, attempt, method, Queue, highWaterMark, sizeOf } = $.web.streams;
    const CLOSE = Symbol("close");

    // What is behind a WritableStream. States: writable → erroring → errored, or writable → closed.
    class Writable {
      state = "writable";
      error;
      writer;
      stream;
      #queue = new Queue();
      #requests = [];
      #inFlight;
      #closeRequest;
      #closeInFlight;
      #abortRequest;
      #hasBackpressure = false;
      #isStarted = false;
      #abortInner;
      #sink;
      #size;
      #mark;

      constructor({ start, write, close, abort, size = () => 1, highWaterMark: mark = 1 }) {
        this.#sink = { write: write ?? noop, close: close ?? noop, abort: abort ?? noop };
        this.#size = size;
        this.#mark = mark;
        this.face = new WritableStreamDefaultController($.secret, this);
        this.#updateBackpressure();
        const started = start?.(this.face);
        Promise.resolve(started).then(
          () => {
            this.#isStarted = true;
            this.#advance();
          },
          (error) => {
            this.#isStarted = true;
            this.#dealWithRejection(error);
          },
        );
      }
      get signal() {
        this.#abortInner ??= $.web.abortSignal();
        return this.#abortInner.signal;
      }
      get desiredSize() {
        if (this.state === "errored" || this.state === "erroring") return null;
        return this.state === "closed" ? 0 : this.#mark - this.#queue.total;
      }
      get isClosing() {
        return this.#closeRequest !== undefined || this.#closeInFlight !== undefined;
      }
      get hasBackpressure() {
        return this.#hasBackpressure;
      }

      write(chunk) {
        let size = 1;
        if (this.state === "writable") {
          try {
            size = this.#size(chunk);
          } catch (error) {
            this.errorIfNeeded(error);
          }
        }
        if (this.state === "errored" || this.state === "erroring") return rejected(this.error);
        if (this.isClosing || this.state === "closed") return rejected(new TypeError("The stream is closed or about to be"));
        const request = Promise.withResolvers();
        this.#requests.push(request);
        try {
          this.#queue.push(chunk, size);
          if (!this.isClosing && this.state === "writable") this.#updateBackpressure();
          this.#advance();
        } catch (error) {
          this.errorIfNeeded(error);
        }
        return handled(request.promise);
      }
      close() {
        if (this.state === "closed" || this.state === "errored") {
          return rejected(new TypeError("The stream is closed or errored"));
        }
        if (this.isClosing) return rejected(new TypeError("The stream is about to be closed"));
        this.#closeRequest = Promise.withResolvers();
        const { promise } = this.#closeRequest;
        if (this.writer && this.#hasBackpressure && this.state === "writable") this.writer.ready.resolve();
        this.#queue.push(CLOSE, 0);
        this.#advance();
        return promise;
      }
      abort(reason) {
        if (this.state === "closed" || this.state === "errored") return Promise.resolve();
        this.signal;
        this.#abortInner.abort(reason);
        if (this.state === "closed" || this.state === "errored") return Promise.resolve();
        if (this.#abortRequest) return this.#abortRequest.promise;
        const wasErroring = this.state === "erroring";
        const request = { ...Promise.withResolvers(), reason: wasErroring ? undefined : reason, wasErroring };
        this.#abortRequest = request;
        if (!wasErroring) this.#startErroring(reason);
        return request.promise;
      }
      errorIfNeeded(error) {
        if (this.state === "writable") this.#startErroring(error);
      }

      #updateBackpressure() {
        const hasBackpressure = this.#mark - this.#queue.total <= 0;
        if (this.writer && hasBackpressure !== this.#hasBackpressure) {
          if (hasBackpressure) this.writer.awaitReady();
          else this.writer.ready.resolve();
        }
        this.#hasBackpressure = hasBackpressure;
      }
      #advance() {
        if (!this.#isStarted || this.#inFlight || this.#closeInFlight) return;
        if (this.state === "erroring") {
          this.#finishErroring();
          return;
        }
        if (this.state !== "writable" || this.#queue.length === 0) return;
        if (this.#queue.peek() === CLOSE) this.#runClose();
        else this.#runWrite();
      }
      #runWrite() {
        this.#inFlight = this.#requests.shift();
        attempt(this.#sink.write, this.#queue.peek(), this.face).then(
          () => {
            this.#inFlight.resolve();
            this.#inFlight = undefined;
            this.#queue.shift();
            if (!this.isClosing && this.state === "writable") this.#updateBackpressure();
            this.#advance();
          },
          (error) => {
            this.#inFlight.reject(error);
            this.#inFlight = undefined;
            this.#dealWithRejection(error);
          },
        );
      }
      #runClose() {
        this.#closeInFlight = this.#closeRequest;
        this.#closeRequest = undefined;
        this.#queue.shift();
        attempt(this.#sink.close).then(
          () => {
            this.#closeInFlight.resolve();
            this.#closeInFlight = undefined;
            if (this.state === "erroring") {
              this.error = undefined;
              this.#abortRequest?.resolve();
              this.#abortRequest = undefined;
            }
            this.state = "closed";
            this.writer?.closed.resolve();
          },
          (error) => {
            this.#closeInFlight.reject(error);
            this.#closeInFlight = undefined;
            this.#abortRequest?.reject(error);
            this.#abortRequest = undefined;
            this.#dealWithRejection(error);
          },
        );
      }
      #dealWithRejection(error) {
        if (this.state === "writable") this.#startErroring(error);
        else this.#finishErroring();
      }
      #startErroring(reason) {
        this.state = "erroring";
        this.error = reason;
        this.writer?.rejectReady(reason);
        if (!this.#inFlight && !this.#closeInFlight && this.#isStarted) this.#finishErroring();
      }
      #finishErroring() {
        this.state = "errored";
        this.#queue.clear();
        for (const request of this.#requests) request.reject(this.error);
        this.#requests = [];
        const abort = this.#abortRequest;
        this.#abortRequest = undefined;
        if (!abort) {
          this.#rejectClosed();
          return;
        }
        if (abort.wasErroring) {
          abort.reject(this.error);
          this.#rejectClosed();
          return;
        }
        attempt(this.#sink.abort, abort.reason).then(
          () => {
            abort.resolve();
            this.#rejectClosed();
          },
          (error) => {
            abort.reject(error);
            this.#rejectClosed();
          },
        );
      }
      #rejectClosed() {
        if (this.#closeRequest) {
          this.#closeRequest.reject(this.error);
          this.#closeRequest = undefined;
        }
        if (this.writer) {
          this.writer.closed.reject(this.error);
          handled(this.writer.closed.promise);
        }
      }
    }

    // A lock on a stream.
    class Writer {
      target;
      closed = Promise.withResolvers();
      ready = Promise.withResolvers();
      constructor(target) {
        if (target.writer) throw new TypeError("The stream is locked to a writer");
        this.target = target;
        target.writer = this;
        const { state, error } = target;
        if (state === "writable" && (target.isClosing || !target.hasBackpressure)) this.ready.resolve();
        if (state === "closed") {
          this.ready.resolve();
          this.closed.resolve();
        }
        if (state === "erroring" || state === "errored") this.ready.reject(error);
        if (state === "errored") this.closed.reject(error);
        handled(this.ready.promise);
        handled(this.closed.promise);
      }
      awaitReady() {
        this.ready = Promise.withResolvers();
        handled(this.ready.promise);
      }
      // A promise that was resolved before gives way to one that tells of the error.
      rejectReady(error) {
        this.ready.reject(error);
        this.awaitReady();
        this.ready.reject(error);
      }
      release() {
        if (!this.target) return;
        const error = new TypeError("The writer was released");
        this.rejectReady(error);
        this.closed.reject(error);
        this.closed = Promise.withResolvers();
        this.closed.reject(error);
        handled(this.closed.promise);
        this.target.writer = undefined;
        this.target = undefined;
      }
    }

    class WritableStream {
      #inner;
      constructor(sink = {}, strategy = {}, secret, inner) {
        if (secret === $.secret) this.#inner = inner;
        else {
          if (sink?.type !== undefined) throw new RangeError("A sink has no type");
          const [size, mark] = [sizeOf(strategy), highWaterMark(strategy, 1)];
          const options = { size, highWaterMark: mark };
          for (const name of ["start", "write", "close", "abort"]) options[name] = method(sink, name);
          this.#inner = new Writable(options);
        }
        this.#inner.stream = this;
      }
      get locked() {
        return this.#inner.writer !== undefined;
      }
      abort(reason) {
        if (this.locked) return rejected(new TypeError("Cannot abort a locked stream"));
        return this.#inner.abort(reason);
      }
      close() {
        if (this.locked) return rejected(new TypeError("Cannot close a locked stream"));
        return this.#inner.close();
      }
      getWriter() {
        return new WritableStreamDefaultWriter(this);
      }
      static inner(stream) {
        return stream.#inner;
      }
    }
    const { inner: writableOf } = WritableStream;
    delete WritableStream.inner;

    class WritableStreamDefaultWriter {
      #writer;
      constructor(stream) {
        this.#writer = new Writer(writableOf(stream));
      }
      get closed() {
        return this.#writer.closed.promise;
      }
      get ready() {
        return this.#writer.ready.promise;
      }
      get desiredSize() {
        return this.#target().desiredSize;
      }
      #target() {
        const { target } = this.#writer;
        if (!target) throw new TypeError("The writer was released");
        return target;
      }
      abort(reason) {
        return attempt(() => this.#target().abort(reason));
      }
      close() {
        return attempt(() => this.#target().close());
      }
      write(chunk) {
        try {
          return this.#target().write(chunk);
        } catch (error) {
          return rejected(error);
        }
      }
      releaseLock() {
        this.#writer.release();
      }
    }

    class WritableStreamDefaultController {
      #writable;
      constructor(secret, writable) {
        if (secret !== $.secret) $.illegal();
        this.#writable = writable;
      }
      get signal() {
        return this.#writable.signal;
      }
      error(error) {
        this.#writable.errorIfNeeded(error);
      }
    }

    const made = { WritableStream, WritableStreamDefaultWriter, WritableStreamDefaultController };
    for (const Class of Object.values(made)) $.tag(Class);
    return {
      ...made,
      writableOf,
      writerOf: (writable) => new Writer(writable),
      makeWritable: (options) => new WritableStream(undefined, undefined, $.secret, new Writable(options)),
    };
  });
})();
