// TransformStream, and the streams that encode and decode text.
(() => {
  $.part(
    ["TransformStream", "TransformStreamDefaultController", "TextEncoderStream", "TextDecoderStream"],
    [],
    () => {
      const { method, highWaterMark, sizeOf } = $.web.streams;

      // The pair behind a TransformStream: what is written waits while nobody reads.
      class Transform {
        #callbacks;
        #hasBackpressure = true;
        #change = Promise.withResolvers();
        #output;
        #finishing;

        constructor(callbacks, writing, reading) {
          this.#callbacks = callbacks;
          this.face = new TransformStreamDefaultController($.secret, this);
          const started = Promise.withResolvers();
          this.readable = $.web.makeReadable({
            ...reading,
            start: (controller) => {
              this.#output = controller;
              return started.promise;
            },
            pull: () => {
              this.#setBackpressure(false);
              return this.#change.promise;
            },
            cancel: (reason) => this.#finish(async () => {
              await callbacks.cancel?.(reason);
              this.failWriting(reason);
            }),
          });
          this.writable = $.web.makeWritable({
            ...writing,
            start: () => started.promise,
            write: (chunk) => this.#write(chunk),
            close: () => this.#finish(async () => {
              try {
                await callbacks.flush?.(this.face);
              } catch (error) {
                this.fail(error);
                throw error;
              }
              const { readable } = this.#output;
              if (readable.state === "errored") throw readable.error;
              if (this.#output.canCloseOrEnqueue) this.#output.close();
            }),
            abort: (reason) => this.#finish(async () => {
              await callbacks.cancel?.(reason);
              this.#output.fail(reason);
            }),
          });
          started.resolve(callbacks.start?.(this.face));
        }
        get desiredSize() {
          return this.#output.desiredSize;
        }
        #finish(work) {
          this.#finishing ??= work();
          return this.#finishing;
        }
        #setBackpressure(hasBackpressure) {
          if (this.#hasBackpressure === hasBackpressure) return;
          this.#change.resolve();
          this.#change = Promise.withResolvers();
          this.#hasBackpressure = hasBackpressure;
        }
        async #write(chunk) {
          if (this.#hasBackpressure) {
            await this.#change.promise;
            const target = $.web.writableOf(this.writable);
            if (target.state === "erroring") throw target.error;
          }
          try {
            if (this.#callbacks.transform) await this.#callbacks.transform(chunk, this.face);
            else this.enqueue(chunk);
          } catch (error) {
            this.fail(error);
            throw error;
          }
        }
        enqueue(chunk) {
          try {
            this.#output.enqueue(chunk);
          } catch (error) {
            const { readable } = this.#output;
            const reason = readable.state === "errored" ? readable.error : error;
            this.failWriting(reason);
            throw reason;
          }
          if (this.#output.hasBackpressure) this.#setBackpressure(true);
        }
        fail(error) {
          this.#output.fail(error);
          this.failWriting(error);
        }
        failWriting(error) {
          $.web.writableOf(this.writable).errorIfNeeded(error);
          this.#setBackpressure(false);
        }
        terminate() {
          if (this.#output.canCloseOrEnqueue) this.#output.close();
          this.failWriting(new TypeError("The transform was terminated"));
        }
      }

      class TransformStream {
        #inner;
        constructor(transformer = {}, writing = {}, reading = {}) {
          if (transformer?.readableType !== undefined || transformer?.writableType !== undefined) {
            throw new RangeError("A transformer has no types");
          }
          const callbacks = {};
          for (const name of ["start", "transform", "flush", "cancel"]) callbacks[name] = method(transformer, name);
          this.#inner = new Transform(
            callbacks,
            { size: sizeOf(writing), highWaterMark: highWaterMark(writing, 1) },
            { size: sizeOf(reading), highWaterMark: highWaterMark(reading, 0) },
          );
        }
        get readable() {
          return this.#inner.readable;
        }
        get writable() {
          return this.#inner.writable;
        }
      }

      class TransformStreamDefaultController {
        #transform;
        constructor(secret, transform) {
          if (secret !== $.secret) $.illegal();
          this.#transform = transform;
        }
        get desiredSize() {
          return this.#transform.desiredSize;
        }
        enqueue(chunk) {
          this.#transform.enqueue(chunk);
        }
        error(error) {
          this.#transform.fail(error);
        }
        terminate() {
          this.#transform.terminate();
        }
      }

      class TextEncoderStream {
        #transform;
        constructor() {
          // Half of a surrogate pair, which the next chunk completes.
          let held = "";
          this.#transform = new TransformStream({
            transform(chunk, controller) {
              let text = held + `${chunk}`;
              const last = text.charCodeAt(text.length - 1);
              held = last >= 0xd800 && last <= 0xdbff ? text.slice(-1) : "";
              text = text.slice(0, text.length - held.length);
              if (text !== "") controller.enqueue($.encodeUtf8(text));
            },
            flush(controller) {
              if (held !== "") controller.enqueue($.encodeUtf8(held));
            },
          });
        }
        get encoding() {
          return "utf-8";
        }
        get readable() {
          return this.#transform.readable;
        }
        get writable() {
          return this.#transform.writable;
        }
      }

      class TextDecoderStream {
        #transform;
        #decoder;
        constructor(label, options) {
          const decoder = (this.#decoder = new $.web.TextDecoder(label, options));
          this.#transform = new TransformStream({
            transform(chunk, controller) {
              const text = decoder.decode(chunk, { stream: true });
              if (text !== "") controller.enqueue(text);
            },
            flush(controller) {
              const text = decoder.decode();
              if (text !== "") controller.enqueue(text);
            },
          });
        }
        get encoding() {
          return this.#decoder.encoding;
        }
        get fatal() {
          return this.#decoder.fatal;
        }
        get ignoreBOM() {
          return this.#decoder.ignoreBOM;
        }
        get readable() {
          return this.#transform.readable;
        }
        get writable() {
          return this.#transform.writable;
        }
      }

      const made = { TransformStream, TransformStreamDefaultController, TextEncoderStream, TextDecoderStream };
      for (const Class of Object.values(made)) $.tag(Class);
      return made;
    },
  );
})();
