// What a module registers: `$.registrations(path, namespace, placeOf)` lists its functions. Processes of Node.js have it too.
(() => {
  const NativeError = Error;

  $.KINDS = {
    query: { marker: "isQuery", invoke: "invokeQuery" },
    mutation: { marker: "isMutation", invoke: "invokeMutation" },
    action: { marker: "isAction", invoke: "invokeAction" },
  };

  // The text that a method of a registration returns, which is JSON; null without the method.
  $.exportedText = (path, name, value, method) => {
    if (typeof value[method] !== "function") return null;
    const text = value[method]();
    if (typeof text === "string") return text;
    throw new NativeError(`Invalid JSON returned from ${path}:${name}.${method}(): expected a string`);
  };

  $.registrations = (path, namespace, placeOf) => {
    const found = [];
    for (const name of Object.keys(namespace)) {
      const value = namespace[name];
      if ((typeof value !== "function" && typeof value !== "object") || value === null) continue;
      const kinds = Object.keys($.KINDS).filter((kind) => $.KINDS[kind].marker in value);
      if (kinds.length !== 1) continue;
      if (value.isPublic && value.isInternal) continue;
      found.push({
        name,
        kind: kinds[0],
        visibility: value.isPublic ? "public" : value.isInternal ? "internal" : null,
        args: $.exportedText(path, name, value, "exportArgs"),
        returns: $.exportedText(path, name, value, "exportReturns"),
        place: placeOf(value._handler),
      });
    }
    return found;
  };
})();
