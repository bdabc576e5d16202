// The package's calls that the runtime answers in JavaScript: `$.jsSyscalls[op](args)`.
(() => {
  const requestFromConvexJson = ({ convexJson }) => $.web.requestFromHost(convexJson);

  // Not async: the package stringifies what this returns.
  const convexJsonFromResponse = ({ response }) => {
    if (!(response instanceof $.web.Response)) throw new Error("HTTP actions must return a Response");
    const body = $.web.Body.get(response)?.toHost();
    const streamId = body === undefined ? null : (body.streamId ?? $.host("stream.open", body.bytes));
    return { status: response.status, headerPairs: $.web.pairsOf(response.headers), streamId };
  };

  const storeBlob = async ({ blob, options }) => {
    $.onlyInActions("storage.store()");
    if (!(blob instanceof $.web.Blob)) {
      throw new Error(
        "store() expects a Blob. If you are trying to store a Request, " +
          "`await request.blob()` will give you the correct input.",
      );
    }
    return $.hostAsync("storage.store", blob.type, options?.sha256, $.web.blobBytes(blob));
  };

  const getBlob = async ({ storageId }) => {
    $.onlyInActions("storage.get()");
    if (typeof storageId !== "string") {
      throw new Error(`storage.get requires a string storageId but received ${typeof storageId}`);
    }
    const json = await $.hostAsync("storage.get", storageId);
    if (json === null || json === undefined) return null;
    const { contentType, streamId } = JSON.parse(json);
    const bytes = await $.web.Body.ofHost(streamId).consume();
    return new $.web.Blob(bytes, { type: contentType ?? "" }, $.secret);
  };

  $.jsSyscalls = Object.assign(Object.create(null), {
    requestFromConvexJson,
    convexJsonFromResponse,
    "storage/storeBlob": storeBlob,
    "storage/getBlob": getBlob,
  });
  // Any op; an unknown one ends the call.
  $.jsSyscall = (op, args) => {
    const call = $.jsSyscalls[op];
    return call ? call(args) : $.fail(`Unknown JS syscall: ${op}`);
  };
})();
