// Where functions may connect to. The server judges each address, after names have been resolved; the connection then goes
// to an address that was judged.

import dgram from "node:dgram";
import dns from "node:dns";
import net from "node:net";

const notHere = (what) => {
  throw new Error(`${what} is not available in actions of this server: they make TCP connections alone.`);
};

/**
 * Guards what connects. `judge` asks the server about addresses: for each it gives null or why it is refused. `warn` tells
 * the call at hand.
 */
export function guardNetwork({ judge, warn }) {
  const { connect } = net.Socket.prototype;
  net.Socket.prototype.connect = function (...args) {
    const [options, callback] = Array.isArray(args[0]) ? args[0] : net._normalizeArgs(args);
    if (options.path) notHere("a local socket");
    const { host, lookup } = guarded(options, { judge, warn });
    const connected = connect.call(this, { ...options, host, lookup }, callback);
    return connected;
  };
  net.Server.prototype.listen = () => notHere("listening");
  for (const name of ["bind", "connect", "send"]) dgram.Socket.prototype[name] = () => notHere("UDP");
}

// The host and the look-up of a connection. An address in brackets is looked up like a name, so that it is judged too.
function guarded(options, { judge, warn }) {
  const host = options.host ?? "localhost";
  const literal = net.isIP(host) === 0 ? undefined : host;
  const resolve = options.lookup ?? dns.lookup;
  const lookup = (name, wanted, callback) => {
    const judged = async (addresses) => {
      const refusals = await judge(literal ?? name, Number(options.port), addresses.map(({ address }) => address));
      const allowed = addresses.filter((_, at) => refusals[at] === null);
      if (allowed.length > 0) return wanted.all ? callback(null, allowed) : callback(null, allowed[0].address, allowed[0].family);
      const refusal = refusals.find((it) => it !== null) ?? `${name} has no address`;
      warn(refusal);
      callback(Object.assign(new Error(refusal), { code: "ERR_ACCESS_DENIED", hostname: name }));
    };
    if (literal !== undefined) return judged([{ address: literal, family: net.isIP(literal) }]);
    resolve(name, { ...wanted, all: true }, (error, addresses, family) => {
      if (error) return callback(error);
      judged(Array.isArray(addresses) ? addresses : [{ address: addresses, family }]);
    });
  };
  return { host: literal === undefined ? host : `[${literal}]`, lookup };
}
