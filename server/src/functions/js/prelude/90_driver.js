// How the host starts a function and completes what it waits for, and the `Convex` object that the package talks to.
(() => {
  const { host, asyncSyscall, call, complete, describe, exportedText, register, module, hasModule, KINDS } = $;
  const stringify = JSON.stringify;
  const parse = JSON.parse;
  const NativeError = Error;
  const then = Promise.prototype.then;
  const apply = Reflect.apply;

  const atImport = (what) => {
    throw new NativeError(`${what} at import time`);
  };

  globalThis.Convex = {
    syscall(op, args) {
      if (call.kind === "import") atImport("Can't use database");
      return host("syscall", op, args);
    },
    asyncSyscall(op, args) {
      if (call.kind === "import") {
        atImport(op.includes("/actions/") || op === "1.0/runUdf" ? "Cannot call another function" : "Can't use database");
      }
      return asyncSyscall(op, args);
    },
    jsSyscall(op, args) {
      if (call.kind === "import") atImport("Can't use database");
      return $.jsSyscall(op, args);
    },
  };

  const settle = (promise, wrongType) => {
    if (typeof promise?.then !== "function") throw new NativeError(wrongType);
    apply(then, Promise.resolve(promise), [
      (text) => (typeof text === "string" ? host("returned", text) : host("fail", wrongType)),
      (error) => host("threw", ...describe(error)),
    ]);
  };

  const exported = (path, name) => {
    if (!hasModule(path)) {
      throw new NativeError(`Couldn't find JavaScript module '${path}'. Did you forget to run \`npx convex dev\`?`);
    }
    const found = module(path)[name];
    if (found === undefined) throw new NativeError(`Couldn't find ${stringify(name)} in module "${path}".`);
    return found;
  };

  const check = (path, name, found, kind) => {
    if (kind === "action" || found[KINDS[kind].marker]) return;
    const other = Object.keys(KINDS).find((other) => found[KINDS[other].marker]);
    const label = `Function ${path}:${name} is`;
    throw new NativeError(
      other === undefined
        ? `${label} neither a query or mutation. Did you forget to wrap it with \`query\` or \`mutation\`?`
        : `${label} registered as a ${other} but is being run as a ${kind}.`,
    );
  };

  register("start", (kind, path, name, args) => {
    call.kind = kind;
    try {
      const found = exported(path, name);
      check(path, name, found, kind);
      const { invoke } = KINDS[kind];
      const wrongType = `${invoke} of ${path}:${name} did not return a promise of a string`;
      settle(kind === "action" ? found[invoke]("request", args) : found[invoke](args), wrongType);
    } catch (error) {
      host("threw", ...describe(error));
    }
  });

  register("startHttp", (request, path, method) => {
    call.kind = "httpAction";
    try {
      const router = exported("http.js", "default");
      if (!router?.isRouter) {
        throw new NativeError("The default export of `convex/http.js` is not a Router.");
      }
      const found = router.lookup(path, method);
      if (!found) return host("unrouted");
      settle(router.runRequest(request, found[2]), "runRequest did not return a promise of a string");
    } catch (error) {
      host("threw", ...describe(error));
    }
  });

  // Completes operation `id`. An error carries its class and, for a ConvexError, its data as JSON text.
  register("complete", (id, isOk, value, errorClass, data) => {
    if (isOk) return complete(id, true, value);
    let error;
    if (errorClass === "TypeError") error = new TypeError(value);
    else if (errorClass === "RangeError") error = new RangeError(value);
    else if (errorClass && errorClass !== "Error") error = $.domException(value, errorClass);
    else error = new NativeError(value);
    if (data !== undefined) error.data = parse(data);
    complete(id, false, error);
  });

  // Where a function begins in its bundle: module, line and column, both from one.
  const ofFunction = (name) => Object.getOwnPropertyDescriptor(Function.prototype, name).get;
  const [fileOf, lineOf, columnOf] = ["fileName", "lineNumber", "columnNumber"].map(ofFunction);
  const placeOf = (handler) => {
    if (typeof handler !== "function") return null;
    const [file, line, column] = [fileOf, lineOf, columnOf].map((get) => apply(get, handler, []));
    return typeof file === "string" && line > 0 && column > 0 ? [file, line, column] : null;
  };

  // What a module registers, as JSON text.
  register("analyze", (path) => {
    const namespace = module(path);
    const analysis = { functions: $.registrations(path, namespace, placeOf) };
    const main = namespace.default;
    if (path === "http.js") {
      if (!main?.isRouter) return stringify({ notRouter: true });
      analysis.httpRoutes = main.getRoutes().map(([route, method]) => [`${route}`, `${method}`]);
    }
    if (path === "crons.js") {
      if (!main?.isCrons) return stringify({ notCrons: true });
      analysis.crons = exportedText(path, "default", main, "export");
    }
    return stringify(analysis);
  });

  // The text that a schema or an app's definition exports, or why there is none.
  register("exported", (path, missing, wrong) => {
    const main = module(path).default;
    if (main === undefined) return stringify({ refused: missing });
    if (typeof main?.export !== "function") return stringify({ refused: wrong });
    const text = main.export();
    return stringify({ text: typeof text === "string" ? text : stringify(text) });
  });

  // The default export of a module, as JSON text.
  register("defaultJson", (path) => {
    const main = module(path).default;
    if (main === undefined) throw new NativeError("auth config file is missing default export.");
    return stringify(main);
  });
})();
