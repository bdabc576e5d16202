// Event and EventTarget.
(() => {
  $.part(["Event", "EventTarget"], ["setHandler", "getHandler", "trust"], () => {
    const NONE = 0;
    const AT_TARGET = 2;

    class Event {
      #type;
      #init;
      #isCanceled = false;
      #isStopped = false;
      #isImmediatelyStopped = false;
      #isTrusted = false;
      #isDispatched = false;
      #isPassive = false;
      #target = null;
      #phase = NONE;
      #timeStamp;

      constructor(type, init = {}) {
        if (arguments.length === 0) throw new TypeError("Event: 1 argument required, but only 0 present");
        this.#type = `${type}`;
        const { bubbles = false, cancelable = false, composed = false } = init ?? {};
        this.#init = { bubbles: Boolean(bubbles), cancelable: Boolean(cancelable), composed: Boolean(composed) };
      }
      get type() {
        return this.#type;
      }
      get target() {
        return this.#target;
      }
      get srcElement() {
        return this.#target;
      }
      get currentTarget() {
        return this.#phase === NONE ? null : this.#target;
      }
      get eventPhase() {
        return this.#phase;
      }
      get bubbles() {
        return this.#init.bubbles;
      }
      get cancelable() {
        return this.#init.cancelable;
      }
      get composed() {
        return this.#init.composed;
      }
      get defaultPrevented() {
        return this.#isCanceled;
      }
      get returnValue() {
        return !this.#isCanceled;
      }
      get isTrusted() {
        return this.#isTrusted;
      }
      get timeStamp() {
        // Asked for late, so that an event alone makes no call depend on time.
        this.#timeStamp ??= $.host("time.performance");
        return this.#timeStamp;
      }
      get cancelBubble() {
        return this.#isStopped;
      }
      set cancelBubble(value) {
        if (value) this.#isStopped = true;
      }
      composedPath() {
        return this.#phase === NONE ? [] : [this.#target];
      }
      preventDefault() {
        if (this.#init.cancelable && !this.#isPassive) this.#isCanceled = true;
      }
      stopPropagation() {
        this.#isStopped = true;
      }
      stopImmediatePropagation() {
        this.#isStopped = true;
        this.#isImmediatelyStopped = true;
      }

      // Calls the listeners of `target`; false if one prevented the default.
      static dispatch(event, target, listeners) {
        if (event.#isDispatched) throw $.domException("The event is already being dispatched.", "InvalidStateError");
        event.#isDispatched = true;
        event.#target = target;
        event.#phase = AT_TARGET;
        for (const listener of listeners) {
          if (event.#isImmediatelyStopped) break;
          if (listener.isRemoved) continue;
          if (listener.isOnce) listener.remove();
          event.#isPassive = listener.isPassive;
          tellListener(listener.callback, target, event);
        }
        event.#phase = NONE;
        event.#isDispatched = event.#isPassive = event.#isStopped = event.#isImmediatelyStopped = false;
        return !event.#isCanceled;
      }
      static trust(event) {
        event.#isTrusted = true;
        return event;
      }
    }
    const { dispatch, trust } = Event;
    delete Event.dispatch;
    delete Event.trust;
    for (const [name, value] of Object.entries({ NONE, CAPTURING_PHASE: 1, AT_TARGET, BUBBLING_PHASE: 3 })) {
      for (const target of [Event, Event.prototype]) Object.defineProperty(target, name, { value, enumerable: true });
    }

    // What a listener throws does not reach the dispatcher, but fails the call as an unhandled rejection does.
    const tellListener = (callback, target, event) => {
      try {
        if (typeof callback === "function") callback.call(target, event);
        else callback.handleEvent(event);
      } catch (error) {
        Promise.reject(error);
      }
    };

    const optionsOf = (options) => (typeof options === "object" && options !== null ? options : { capture: options });

    class EventTarget {
      #listeners = new Map();
      #handlers;

      addEventListener(type, callback, options) {
        if (callback === null || callback === undefined) return;
        const { capture, once, passive, signal } = optionsOf(options);
        if (signal?.aborted) return;
        const name = `${type}`;
        let list = this.#listeners.get(name);
        if (!list) this.#listeners.set(name, (list = []));
        const isCapture = Boolean(capture);
        if (list.some((other) => other.callback === callback && other.isCapture === isCapture)) return;
        const listener = { callback, isCapture, isOnce: Boolean(once), isPassive: Boolean(passive), isRemoved: false };
        listener.remove = () => {
          listener.isRemoved = true;
          const at = list.indexOf(listener);
          if (at >= 0) list.splice(at, 1);
        };
        list.push(listener);
        signal?.addEventListener("abort", listener.remove, { once: true });
      }
      removeEventListener(type, callback, options) {
        const isCapture = Boolean(optionsOf(options).capture);
        const isIt = (other) => other.callback === callback && other.isCapture === isCapture;
        this.#listeners.get(`${type}`)?.find(isIt)?.remove();
      }
      dispatchEvent(event) {
        if (!(event instanceof Event)) throw new TypeError("dispatchEvent: the argument is not an Event");
        const target = this ?? globalThis;
        return dispatch(event, target, [...(target.#listeners.get(event.type) ?? [])]);
      }

      // `target.on<type>`: one listener that keeps its place when it is replaced.
      static handler(target, type) {
        return target.#handlers?.get(type)?.callback ?? null;
      }
      static setHandler(target, type, callback) {
        target.#handlers ??= new Map();
        const isCallable = typeof callback === "function";
        const known = target.#handlers.get(type);
        if (known) known.callback = isCallable ? callback : null;
        else if (isCallable) {
          const entry = { callback };
          target.#handlers.set(type, entry);
          target.addEventListener(type, (event) => entry.callback?.call(target, event));
        }
      }
    }
    const { handler, setHandler } = EventTarget;
    delete EventTarget.handler;
    delete EventTarget.setHandler;

    return { Event: $.tag(Event), EventTarget: $.tag(EventTarget), getHandler: handler, setHandler, trust };
  });
})();
