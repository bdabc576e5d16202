// ReadableStream, its readers and controllers, as functions see them.
(() => {
  const CLASSES = [
    "ReadableStream",
    "ReadableStreamDefaultReader",
    "ReadableStreamBYOBReader",
    "ReadableStreamDefaultController",
    "ReadableByteStreamController",
    "ReadableStreamBYOBRequest",
  ];
  $.part(CLASSES, ["readableOf", "makeReadable", "makeReadableBytes"], () => {
    const { rejected, attempt, method, highWaterMark, sizeOf, noop } = $.web.streams;
    const { Readable, Reader, DefaultController } = $.web.readable;

    class ReadableStream {
      #inner;
      constructor(source = {}, strategy = {}, secret, inner) {
        this.#inner = secret === $.secret ? inner : new Readable();
        this.#inner.stream = this;
        if (secret === $.secret) return;
        if (source === null) throw new TypeError("The source must be an object");
        const options = { start: method(source, "start"), pull: method(source, "pull"), cancel: method(source, "cancel") };
        const { type, autoAllocateChunkSize } = source;
        if (`${type}` === "bytes") {
          if (strategy?.size !== undefined) throw new RangeError("A byte stream's strategy has no size");
          openBytes(this.#inner, { ...options, autoAllocateChunkSize, highWaterMark: highWaterMark(strategy, 0) });
        } else if (type === undefined) {
          const [size, mark] = [sizeOf(strategy), highWaterMark(strategy, 1)];
          new DefaultController(this.#inner, { ...options, size, highWaterMark: mark }, face);
        } else throw new TypeError(`Invalid type of stream: ${type}`);
      }
      static from(iterable) {
        const iterator = (iterable[Symbol.asyncIterator] ?? iterable[Symbol.iterator])?.call(iterable);
        if (iterator === undefined) throw new TypeError("ReadableStream.from: the value is not iterable");
        return makeReadable({
          highWaterMark: 0,
          async pull(controller) {
            const { value, done } = await iterator.next();
            if (done) controller.close();
            else controller.enqueue(await value);
          },
          async cancel(reason) {
            await iterator.return?.(reason);
          },
        });
      }
      get locked() {
        return this.#inner.reader !== undefined;
      }
      cancel(reason) {
        if (this.locked) return rejected(new TypeError("Cannot cancel a locked stream"));
        return this.#inner.cancel(reason);
      }
      getReader(options = {}) {
        const mode = options?.mode;
        if (mode === undefined) return new ReadableStreamDefaultReader(this);
        if (`${mode}` === "byob") return new ReadableStreamBYOBReader(this);
        throw new TypeError(`Invalid mode of a reader: ${mode}`);
      }
      pipeTo(target, options) {
        if (!(target instanceof $.web.WritableStream)) return rejected(new TypeError("pipeTo: not a WritableStream"));
        if (this.locked || target.locked) return rejected(new TypeError("pipeTo: a stream is locked"));
        return attempt(() => $.web.pipe(this.#inner, $.web.writableOf(target), options ?? {}));
      }
      pipeThrough(transform, options) {
        if (!(transform?.writable instanceof $.web.WritableStream) || !(transform.readable instanceof ReadableStream)) {
          throw new TypeError("pipeThrough: not a pair of streams");
        }
        if (this.locked || transform.writable.locked) throw new TypeError("pipeThrough: a stream is locked");
        this.pipeTo(transform.writable, options).catch(noop);
        return transform.readable;
      }
      tee() {
        return tee(this.#inner);
      }
      values(options) {
        const reader = new Reader(this.#inner);
        return iterate(reader, Boolean(options?.preventCancel));
      }
      static inner(stream) {
        return stream.#inner;
      }
    }
    const { inner: readableOf } = ReadableStream;
    delete ReadableStream.inner;
    Object.defineProperty(ReadableStream.prototype, Symbol.asyncIterator, {
      value: ReadableStream.prototype.values,
      writable: true,
      configurable: true,
    });

    async function* iterate(reader, preventCancel) {
      let isOver = false;
      try {
        for (;;) {
          const { value, done } = await reader.next();
          if (done) break;
          yield value;
        }
        isOver = true;
      } catch (error) {
        isOver = true;
        throw error;
      } finally {
        const cancelled = isOver || preventCancel ? undefined : reader.cancel();
        reader.release();
        await cancelled;
      }
    }

    const makeReadable = (options) => {
      const inner = new Readable();
      const stream = new ReadableStream(undefined, undefined, $.secret, inner);
      new DefaultController(inner, options);
      return stream;
    };
    const makeReadableBytes = (options) => {
      const inner = new Readable();
      const stream = new ReadableStream(undefined, undefined, $.secret, inner);
      openBytes(inner, options);
      return stream;
    };
    const openBytes = (inner, options) => {
      const makeRequest = (controller, view) => new ReadableStreamBYOBRequest($.secret, controller, view);
      new $.web.readableBytes.ByteController(inner, options, byteFace, makeRequest);
    };

    // Two streams of the same chunks; of bytes each gets its own copy.
    const tee = (source) => {
      const reader = new Reader(source);
      const isBytes = !(source.controller instanceof DefaultController);
      const branches = [];
      const reasons = [];
      const isCanceled = [false, false];
      const canceled = Promise.withResolvers();
      let isReading = false;
      let readsAgain = false;
      const each = (visit) => {
        for (const i of [0, 1]) if (!isCanceled[i]) visit(branches[i], i);
      };
      const pull = () => {
        if (isReading) {
          readsAgain = true;
          return;
        }
        isReading = true;
        reader.read({
          chunk(value) {
            // Later than the read, so that an error of the source comes first.
            queueMicrotask(() => {
              readsAgain = false;
              each((branch, i) => branch.enqueue(isBytes && i === 1 ? value.slice() : value));
              isReading = false;
              if (readsAgain) pull();
            });
          },
          close() {
            isReading = false;
            each((branch) => branch.close());
            if (!isCanceled[0] || !isCanceled[1]) canceled.resolve();
          },
          fail() {
            isReading = false;
          },
        });
      };
      const cancel = (i) => (reason) => {
        isCanceled[i] = true;
        reasons[i] = reason;
        if (isCanceled[0] && isCanceled[1]) canceled.resolve(source.cancel([...reasons]));
        return canceled.promise;
      };
      const streams = [0, 1].map((i) => {
        const options = { start: (controller) => (branches[i] = controller), pull, cancel: cancel(i) };
        return isBytes ? makeReadableBytes({ ...options, highWaterMark: 0 }) : makeReadable(options);
      });
      reader.closed.promise.catch((error) => {
        for (const branch of branches) branch.fail(error);
        if (!isCanceled[0] || !isCanceled[1]) canceled.resolve();
      });
      return streams;
    };

    class GenericReader {
      #reader;
      constructor(reader) {
        this.#reader = reader;
      }
      get closed() {
        return this.#reader.closed.promise;
      }
      cancel(reason) {
        return this.#reader.cancel(reason);
      }
      releaseLock() {
        this.#reader.release();
      }
      static inner(reader) {
        return reader.#reader;
      }
    }
    const { inner: readerOf } = GenericReader;
    delete GenericReader.inner;

    class ReadableStreamDefaultReader extends GenericReader {
      constructor(stream) {
        super(new Reader(readableOf(stream)));
      }
      read() {
        return readerOf(this).next();
      }
    }

    class ReadableStreamBYOBReader extends GenericReader {
      constructor(stream) {
        const source = readableOf(stream);
        if (source.controller instanceof DefaultController) throw new TypeError("Only byte streams have BYOB readers");
        super(new Reader(source, true));
      }
      read(view, options) {
        return attempt(() => {
          if (!ArrayBuffer.isView(view) || view.byteLength === 0) throw new TypeError("read: an empty view, or none");
          const least = options?.min ?? 1;
          const most = view instanceof DataView ? view.byteLength : view.length;
          if (!(least > 0)) throw new TypeError("read: min must be positive");
          if (least > most) throw new RangeError("read: min is more than the view holds");
          const { source } = readerOf(this);
          if (!source) throw new TypeError("The reader was released");
          source.isDisturbed = true;
          if (source.state === "errored") throw source.error;
          return new Promise((resolve, reject) => {
            source.controller.pullInto(view, least, {
              chunk: (value) => resolve({ value, done: false }),
              close: (value) => resolve({ value, done: true }),
              fail: reject,
            });
          });
        });
      }
    }

    class ReadableStreamDefaultController {
      #controller;
      constructor(secret, controller) {
        if (secret !== $.secret) $.illegal();
        this.#controller = controller;
      }
      get desiredSize() {
        return this.#controller.desiredSize;
      }
      close() {
        this.#controller.close();
      }
      enqueue(chunk) {
        this.#controller.enqueue(chunk);
      }
      error(error) {
        this.#controller.fail(error);
      }
    }
    class ReadableByteStreamController extends ReadableStreamDefaultController {
      #controller;
      constructor(secret, controller) {
        super(secret, controller);
        this.#controller = controller;
      }
      get byobRequest() {
        return this.#controller.byobRequest;
      }
    }
    const face = (controller) => new ReadableStreamDefaultController($.secret, controller);
    const byteFace = (controller) => new ReadableByteStreamController($.secret, controller);

    class ReadableStreamBYOBRequest {
      #controller;
      #view;
      constructor(secret, controller, view) {
        if (secret !== $.secret) $.illegal();
        this.#controller = controller;
        this.#view = view;
        Object.defineProperty(this, "invalidate", {
          value: () => {
            this.#controller = undefined;
            this.#view = null;
          },
        });
      }
      get view() {
        return this.#view;
      }
      #take() {
        if (!this.#controller) throw new TypeError("This request was answered");
        return this.#controller;
      }
      respond(count) {
        this.#take().respond(Number(count));
      }
      respondWithNewView(view) {
        this.#take().respond(view.byteLength, view.buffer === this.#view?.buffer ? undefined : view);
      }
    }

    const made = {
      ReadableStream,
      ReadableStreamDefaultReader,
      ReadableStreamBYOBReader,
      ReadableStreamDefaultController,
      ReadableByteStreamController,
      ReadableStreamBYOBRequest,
    };
    for (const Class of Object.values(made)) $.tag(Class);
    return { ...made, readableOf, makeReadable, makeReadableBytes };
  });
})();
