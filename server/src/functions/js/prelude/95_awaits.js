// In development alone: an error of an operation is told with the place that awaited it. The engine's stacks end at an
// `await`, and the package throws another error with the same text.
(() => {
  const NativeError = Error;
  const FAILURES_MAX = 16;
  const failures = [];

  $.traceOperations(
    () => new NativeError(),
    (error, at) => {
      failures.unshift([`${error?.message}`, $.framesOf(at)]);
      if (failures.length > FAILURES_MAX) failures.pop();
    },
  );

  // The frames of what awaited the newest failure with this message.
  $.awaitedFrames = (message) => {
    const found = failures.find(([text]) => text === message);
    return found === undefined ? "" : found[1].replaceAll(/^( *at )/gm, "$1async ");
  };
})();
