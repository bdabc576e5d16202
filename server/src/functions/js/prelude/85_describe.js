// What was thrown, as the host shows it: `$.describe(error)` gives name, message, stack, and the data of a ConvexError as
// JSON text. Processes of Node.js have it too.
(() => {
  const NativeError = Error;

  const framesOf = (error, message) => {
    const own = $.framesOf(error);
    const awaited = $.awaitedFrames?.(message) ?? "";
    return awaited === "" ? own : `${own}${own === "" || own.endsWith("\n") ? "" : "\n"}${awaited}`;
  };

  $.describe = (error) => {
    try {
      if (error instanceof NativeError || (typeof error === "object" && error !== null && "stack" in error)) {
        const isConvexError = error.ConvexErrorSymbol !== undefined && error[error.ConvexErrorSymbol] === true;
        const name = error.name === undefined ? "Error" : `${error.name}`;
        const message = error.message === undefined ? "" : `${error.message}`;
        return [name, message, framesOf(error, message), isConvexError ? `${error.data}` : undefined];
      }
      if (Array.isArray(error)) return ["", "[object Array]", "", undefined];
      if (typeof error === "object" && error !== null) {
        const kind = error.constructor?.name;
        return ["", `#<${typeof kind === "string" && kind !== "" ? kind : "Object"}>`, "", undefined];
      }
      return ["", typeof error === "symbol" ? error.toString() : `${error}`, "", undefined];
    } catch {
      return ["", "#<Object>", "", undefined];
    }
  };
})();
