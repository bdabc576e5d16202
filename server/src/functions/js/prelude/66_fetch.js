// fetch: the host does the request and gives the response's body as a stream.
(() => {
  let lastId = 0;

  const send = async (input, init) => {
    $.onlyInActions("fetch()");
    const { Request, Body } = $.web;
    const request = new Request(input, init);
    const { url } = request;
    if (!/^https?:/.test(url)) throw new TypeError(`fetch: only http and https are supported, not ${url.split(":")[0]}:`);
    const signal = $.web.requestFromHost.ownSignal(request);
    signal?.throwIfAborted();

    const id = ++lastId;
    const body = Body.get(request)?.toHost() ?? {};
    const json = JSON.stringify({
      id,
      url: url.split("#")[0],
      method: request.method,
      headers: $.web.pairsOf(request.headers),
      redirect: request.redirect,
      streamId: body.streamId ?? null,
    });
    const { promise, resolve, reject } = Promise.withResolvers();
    let received;
    if (signal) {
      $.web.whenAborted(signal, (reason) => {
        $.host("fetch.abort", id);
        if (received) received.abortReason = reason;
        reject(reason);
      });
    }
    $.hostAsync("fetch", json, body.bytes).then((text) => {
      const parts = JSON.parse(text);
      received = Body.ofHost(parts.streamId);
      resolve($.web.responseFromHost(parts, received));
    }, reject);
    return promise;
  };

  $.global("fetch", function fetch(input, init) {
    return send(input, init);
  });
})();
