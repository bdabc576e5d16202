// The controller of byte streams, whose readers may bring their own buffers.
(() => {
  $.part([], ["readableBytes"], () => {
    const { noop, attempt } = $.web.streams;

    const isView = (value) => ArrayBuffer.isView(value);

    class ByteController {
      // Bytes that nobody has read.
      #chunks = [];
      #total = 0;
      // Buffers that wait to be filled, oldest first.
      #fills = [];
      #isStarted = false;
      #isCloseRequested = false;
      #isPulling = false;
      #pullsAgain = false;
      #pull;
      #cancel;
      #highWaterMark;
      #autoSize;
      #request = null;

      constructor(readable, { start, pull, cancel, highWaterMark = 0, autoAllocateChunkSize }, face, makeRequest) {
        this.readable = readable;
        readable.controller = this;
        this.#pull = pull ?? noop;
        this.#cancel = cancel ?? noop;
        this.#highWaterMark = highWaterMark;
        this.#autoSize = autoAllocateChunkSize;
        this.makeRequest = makeRequest;
        this.face = face?.(this) ?? this;
        const started = start?.(this.face);
        Promise.resolve(started).then(
          () => {
            this.#isStarted = true;
            this.#pullIfNeeded();
          },
          (error) => this.fail(error),
        );
      }
      get desiredSize() {
        if (this.readable.state === "errored") return null;
        return this.readable.state === "closed" ? 0 : this.#highWaterMark - this.#total;
      }
      get canCloseOrEnqueue() {
        return !this.#isCloseRequested && this.readable.state === "readable";
      }
      // The buffer to be filled next, as the source sees it.
      get byobRequest() {
        const [fill] = this.#fills;
        if (this.#request === null && fill) {
          const view = new Uint8Array(fill.buffer, fill.offset + fill.filled, fill.length - fill.filled);
          this.#request = this.makeRequest(this, view);
        }
        return this.#request;
      }
      #dropRequest() {
        this.#request?.invalidate?.();
        this.#request = null;
      }

      #pullIfNeeded() {
        const { readable } = this;
        if (!this.canCloseOrEnqueue || !this.#isStarted) return;
        if (!(readable.requestCount > 0 || readable.byobRequestCount > 0 || this.desiredSize > 0)) return;
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
            this.#pullIfNeeded();
          },
          (error) => this.fail(error),
        );
      }

      // A read without a buffer.
      pull(request) {
        if (this.#total > 0) {
          const chunk = this.#chunks.shift();
          this.#total -= chunk.byteLength;
          this.#afterTaking();
          request.chunk(chunk);
          return;
        }
        if (this.#autoSize !== undefined) {
          const buffer = new ArrayBuffer(this.#autoSize);
          this.#fills.push({ buffer, offset: 0, length: this.#autoSize, filled: 0, least: 1, View: Uint8Array, size: 1, isByob: false });
        }
        this.readable.reader.requests.push(request);
        this.#pullIfNeeded();
      }

      // A read into `view`, of at least `least` elements.
      pullInto(view, least, request) {
        const size = view.BYTES_PER_ELEMENT ?? 1;
        const { buffer, byteOffset: offset, byteLength: length, constructor: View } = view;
        const fill = { buffer, offset, length, filled: 0, least: least * size, View, size, isByob: true };
        if (this.#fills.length === 0) {
          if (this.readable.state === "closed") {
            request.close(new View(buffer, offset, 0));
            return;
          }
          if (this.#total > 0 && this.#fill(fill)) {
            this.#afterTaking();
            request.chunk(this.#viewOf(fill));
            return;
          }
          if (this.#total === 0 && this.#isCloseRequested) {
            const error = new TypeError("Not enough bytes to fill the view");
            this.fail(error);
            request.fail(error);
            return;
          }
        }
        this.#fills.push(fill);
        this.readable.reader.requests.push(request);
        this.#pullIfNeeded();
      }

      // Copies unread bytes into a buffer; true if it has got enough.
      #fill(fill) {
        while (this.#total > 0 && fill.filled < fill.length) {
          const [chunk] = this.#chunks;
          const count = Math.min(chunk.byteLength, fill.length - fill.filled);
          new Uint8Array(fill.buffer, fill.offset + fill.filled, count).set(chunk.subarray(0, count));
          fill.filled += count;
          this.#total -= count;
          if (count === chunk.byteLength) this.#chunks.shift();
          else this.#chunks[0] = chunk.subarray(count);
        }
        return fill.filled >= fill.least && this.#putBackRest(fill);
      }
      // What does not make a whole element waits for the next read.
      #putBackRest(fill) {
        const rest = fill.filled % fill.size;
        if (rest > 0) {
          const end = fill.offset + fill.filled;
          this.#chunks.unshift(new Uint8Array(fill.buffer.slice(end - rest, end)));
          this.#total += rest;
          fill.filled -= rest;
        }
        return true;
      }
      #viewOf(fill) {
        return new fill.View(fill.buffer, fill.offset, fill.filled / fill.size);
      }
      #afterTaking() {
        if (this.#total === 0 && this.#isCloseRequested) {
          this.#forget();
          this.readable.close();
        } else this.#pullIfNeeded();
      }

      enqueue(view) {
        if (!isView(view)) throw new TypeError("A byte stream takes views of buffers");
        if (view.byteLength === 0) throw new TypeError("A chunk must not be empty");
        if (!this.canCloseOrEnqueue) throw new TypeError("The stream is closed or about to be");
        this.#dropRequest();
        this.#chunks.push($.bytesOf(view));
        this.#total += view.byteLength;
        this.#serve();
        this.#pullIfNeeded();
      }

      // Gives unread bytes to the reads that wait.
      #serve() {
        const { readable } = this;
        while (this.#total > 0 && readable.requestCount > 0) {
          if (this.#fills.length > 0) this.#fills.shift();
          const chunk = this.#chunks.shift();
          this.#total -= chunk.byteLength;
          readable.fulfil(chunk);
        }
        while (this.#total > 0 && readable.byobRequestCount > 0 && this.#fills.length > 0) {
          if (!this.#fill(this.#fills[0])) return;
          readable.fulfil(this.#viewOf(this.#fills.shift()));
        }
      }

      // The source has written `count` bytes into the buffer of `byobRequest`.
      respond(count, view) {
        const [fill] = this.#fills;
        if (!fill) throw new TypeError("Nobody waits for these bytes");
        if (this.readable.state === "closed" && count > 0) throw new TypeError("The stream is closed");
        if (this.readable.state === "readable" && count === 0) throw new TypeError("No bytes were written");
        if (fill.filled + count > fill.length) throw new RangeError("More bytes than the buffer holds");
        if (view) {
          new Uint8Array(fill.buffer, fill.offset + fill.filled, count).set($.bytesOf(view));
        }
        this.#dropRequest();
        if (this.readable.state === "closed") {
          this.#closeFills();
          return;
        }
        fill.filled += count;
        if (fill.filled >= fill.least) {
          this.#fills.shift();
          this.#putBackRest(fill);
          if (this.readable.reader) this.readable.fulfil(this.#viewOf(fill));
          else {
            this.#chunks.push(new Uint8Array(fill.buffer, fill.offset, fill.filled));
            this.#total += fill.filled;
          }
          this.#serve();
        }
        this.#pullIfNeeded();
      }

      close() {
        if (!this.canCloseOrEnqueue) throw new TypeError("The stream is closed or about to be");
        this.#isCloseRequested = true;
        if (this.#total > 0) return;
        const [fill] = this.#fills;
        if (fill && fill.filled > 0) {
          const error = new TypeError("The stream ended within an element");
          this.fail(error);
          throw error;
        }
        this.#forget();
        this.readable.close();
        if (this.readable.byobRequestCount > 0) this.#closeFills();
      }
      #closeFills() {
        const requests = this.readable.reader?.isByob ? this.readable.reader.take() : [];
        for (const request of requests) {
          const fill = this.#fills.shift();
          request.close(fill && new fill.View(fill.buffer, fill.offset, 0));
        }
        this.#fills = [];
      }
      fail(error) {
        if (this.readable.state !== "readable") return;
        this.#fills = [];
        this.#chunks = [];
        this.#total = 0;
        this.#dropRequest();
        this.#forget();
        this.readable.fail(error);
      }
      cancel(reason) {
        this.#fills = [];
        this.#chunks = [];
        this.#total = 0;
        this.#dropRequest();
        const cancel = this.#cancel;
        this.#forget();
        return attempt(cancel, reason);
      }
      release() {
        this.#fills = [];
        this.#dropRequest();
      }
      #forget() {
        this.#pull = this.#cancel = noop;
      }
    }
    return { readableBytes: { ByteController } };
  });
})();
