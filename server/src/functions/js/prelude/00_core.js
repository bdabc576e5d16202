// The way from JavaScript to the server: `$`, which every later script of the prelude uses and no module sees.
// All scripts run in one closure, once, into the image.
const $ = (() => {
  const native = { host: __host, register: __register, module: __module, hasModule: __hasModule };
  const carried = __asyncContext;
  for (const name of ["__host", "__register", "__module", "__hasModule", "__asyncContext"]) delete globalThis[name];

  // One value that the engine carries along promises. What is entered also stays with the async functions that are running.
  const asyncContext = {
    get: () => carried(),
    set: (value) => carried(value),
    enter: (value) => carried(value, true),
  };

  const pending = new Map();
  let lastOperation = 0;

  // What the driver knows about the call under way.
  const call = { kind: "import" };

  // Where an operation begins, and what becomes of that when it fails: for a script that tells errors where they were awaited.
  let begins = () => undefined;
  let fails;
  const traceOperations = (began, failed) => ([begins, fails] = [began, failed]);

  // Starts an operation that the driver completes later. Throws where the host refuses it.
  const hostBegin = (op, ...args) => {
    const id = ++lastOperation;
    const promise = new Promise((resolve, reject) => pending.set(id, { resolve, reject, at: begins() }));
    try {
      native.host("async", id, op, ...args);
    } catch (error) {
      pending.delete(id);
      throw error;
    }
    return promise;
  };

  // As `hostBegin`, with a refusal as a rejection.
  const hostAsync = (op, ...args) => {
    try {
      return hostBegin(op, ...args);
    } catch (error) {
      return new Promise((_, reject) => reject(error));
    }
  };

  // As `hostAsync("syscall", op, args)`, the most frequent one.
  const asyncSyscall = (op, args) =>
    new Promise((resolve, reject) => {
      const id = ++lastOperation;
      pending.set(id, { resolve, reject, at: begins() });
      try {
        native.host("async", id, "syscall", op, args);
      } catch (error) {
        pending.delete(id);
        reject(error);
      }
    });

  const complete = (id, isOk, value) => {
    const operation = pending.get(id);
    pending.delete(id);
    if (!isOk && operation?.at !== undefined) fails(value, operation.at);
    if (operation) (isOk ? operation.resolve : operation.reject)(value);
  };

  return { ...native, asyncContext, traceOperations, hostBegin, hostAsync, asyncSyscall, call, complete };
})();
