// Messages to and from the server: a header with two lengths, a JSON text, and bytes that belong to it.

import net from "node:net";
import { TEXT_BYTES_MAX } from "./shared.mjs";

const HEADER_BYTES = 8;

/** Takes messages out of the chunks in which they arrive. */
export class Frames {
  #chunks = [];
  #length = 0;
  #onMessage;

  constructor(onMessage) {
    this.#onMessage = onMessage;
  }

  push(chunk) {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    while (this.#length >= HEADER_BYTES) {
      const header = this.#joined(HEADER_BYTES);
      const [text, bytes] = [header.readUInt32LE(0), header.readUInt32LE(4)];
      const end = HEADER_BYTES + text + bytes;
      if (this.#length < end) return;
      const frame = this.#joined(end);
      this.#chunks = [frame.subarray(end)];
      this.#length -= end;
      const json = frame.toString("utf8", HEADER_BYTES, HEADER_BYTES + text);
      this.#onMessage(JSON.parse(json), frame.subarray(HEADER_BYTES + text, end));
    }
  }

  // The first chunk, made so large that it holds `length` bytes.
  #joined(length) {
    if (this.#chunks[0].length < length) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0];
  }
}

// The server reads no text that is not Unicode.
const wellFormed = (_, value) => (typeof value === "string" ? value.toWellFormed() : value);

/**
 * Opens the socket that the server handed in as this file descriptor. Returns how a message is sent; it throws if that is
 * larger than the server reads.
 */
export function openChannel(fd, { onMessage, onEnd }) {
  const socket = new net.Socket({ fd, readable: true, writable: true });
  const frames = new Frames(onMessage);
  socket.on("data", (chunk) => frames.push(chunk));
  socket.on("error", onEnd);
  socket.on("close", onEnd);
  socket.on("end", onEnd);
  return (message, bytes = new Uint8Array()) => {
    const text = Buffer.from(JSON.stringify(message, wellFormed));
    if (text.length > TEXT_BYTES_MAX) throw new RangeError(`a message of ${text.length} bytes is too large (limit: ${TEXT_BYTES_MAX})`);
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt32LE(text.length, 0);
    header.writeUInt32LE(bytes.length, 4);
    socket.write(bytes.length === 0 ? Buffer.concat([header, text]) : Buffer.concat([header, text, bytes]));
  };
}
