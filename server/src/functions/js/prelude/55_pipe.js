// Piping one stream into another.
(() => {
  $.part([], ["pipe"], () => {
    const { noop } = $.web.streams;

    // Moves chunks until one side ends, errors or is aborted, and passes that on to the other side.
    const pipe = (source, target, { preventClose, preventAbort, preventCancel, signal }) => {
      if (signal !== undefined && !(signal instanceof $.web.AbortSignal)) throw new TypeError("pipeTo: not an AbortSignal");
      const reader = new $.web.readable.Reader(source);
      const writer = $.web.writerOf(target);
      source.isDisturbed = true;
      const { promise, resolve, reject } = Promise.withResolvers();
      let isShuttingDown = false;
      let lastWrite = Promise.resolve();
      let takeBack = noop;

      const finish = (settle) => {
        writer.release();
        reader.release();
        takeBack();
        settle();
      };
      // Ends the pipe after the writes under way and after `action`.
      const shutDown = (settle, action) => {
        if (isShuttingDown) return;
        isShuttingDown = true;
        const act = () => {
          if (!action) finish(settle);
          else action().then(() => finish(settle), (error) => finish(() => reject(error)));
        };
        if (target.state === "writable" && !target.isClosing) lastWrite.then(act, act);
        else act();
      };
      const fail = (error) => () => reject(error);

      if (signal) {
        takeBack = $.web.whenAborted(signal, (reason) => {
          const actions = [];
          if (!preventAbort) actions.push(() => (target.state === "writable" ? target.abort(reason) : Promise.resolve()));
          if (!preventCancel) actions.push(() => (source.state === "readable" ? source.cancel(reason) : Promise.resolve()));
          shutDown(fail(reason), () => Promise.all(actions.map((action) => action())));
        });
        if (isShuttingDown) return promise;
      }

      const sourceFailed = (error) => shutDown(fail(error), preventAbort ? undefined : () => target.abort(error));
      const sourceClosed = () => {
        const close = () => {
          if (target.isClosing || target.state === "closed") return Promise.resolve();
          return target.state === "errored" ? Promise.reject(target.error) : target.close();
        };
        shutDown(resolve, preventClose ? undefined : close);
      };
      const targetFailed = (error) => shutDown(fail(error), preventCancel ? undefined : () => source.cancel(error));
      const targetClosed = () => {
        const error = new TypeError("The stream that is written to is closed");
        shutDown(fail(error), preventCancel ? undefined : () => source.cancel(error));
      };
      if (source.state === "errored") sourceFailed(source.error);
      else if (target.state === "errored" || target.state === "erroring") targetFailed(target.error);
      else if (source.state === "closed") sourceClosed();
      else if (target.isClosing || target.state === "closed") targetClosed();

      reader.closed.promise.then(sourceClosed, sourceFailed);
      writer.closed.promise.then(targetClosed, targetFailed);

      const step = () =>
        new Promise((done) => {
          reader.read({
            chunk(value) {
              lastWrite = target.write(value);
              lastWrite.catch(noop);
              done();
            },
            close: done,
            fail: done,
          });
        });
      const run = async () => {
        while (!isShuttingDown) {
          await writer.ready.promise.catch(noop);
          if (isShuttingDown || source.state !== "readable") return;
          await step();
        }
      };
      run();
      return promise;
    };
    return { pipe };
  });
})();
