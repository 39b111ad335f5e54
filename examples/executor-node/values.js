'use strict';
// Values between JavaScript and the wire: a codec, and bytes that are in the message or in a file of the worker's pool.

const fs = require('node:fs');
const path = require('node:path');
const msgpack = require('@msgpack/msgpack');
const { Failure } = require('./failure');

/** What this executor reads, by codec. It writes all of these but JSON. */
const READERS = {
  CODEC_RAW: (bytes) => bytes,
  CODEC_UTF8: (bytes) => new TextDecoder('utf-8', { fatal: true }).decode(bytes),
  CODEC_JSON: (bytes) => JSON.parse(bytes.toString('utf8')),
  CODEC_MSGPACK: (bytes) => narrow(msgpack.decode(bytes, { useBigInt64: true })),
  CODEC_NONE: () => null,
};

exports.CODECS = Object.keys(READERS);

/** The value behind a message. `what` is the name that errors call it. */
exports.read = (value, what, pool) => {
  const { codec, compression, buffers, type_hint: hint } = value;
  const reader = READERS[codec];
  if (!reader || compression !== 'COMPRESSION_UNSPECIFIED') {
    const made = hint ? `, made of a ${hint},` : '';
    const packed = reader ? ` and is compressed as ${short(compression)}` : '';
    const known = `Node ${process.version} reads ${exports.CODECS.map(short).join(', ')} as they are`;
    const message = `${what}${made} has codec ${short(codec)}${packed}, and ${known}; have it made of plain data`;
    throw new Failure('DESERIALIZE', 'CODEC_MISMATCH', message);
  }
  try {
    return reader(Buffer.concat(buffers.map((buffer) => bytesOf(buffer, pool))));
  } catch (error) {
    throw new Failure('DESERIALIZE', 'CODEC_MISMATCH', `${what} has codec ${short(codec)} and cannot be read: ${error.message}`);
  }
};

/** Has the encoder refuse what it would write as an empty map. */
const PLAIN = {
  tryToEncode(object, context) {
    const kind = Object.prototype.toString.call(object).slice(8, -1);
    const isPlain = ['Object', 'Array', 'Date'].includes(kind) || ArrayBuffer.isView(object);
    if (!isPlain) throw new Error(`a ${kind} cannot be written`);
    return msgpack.ExtensionCodec.defaultCodec.tryToEncode(object, context);
  },
};

/** Codec and bytes of what a function returned: bytes and text as they are, other plain data as MessagePack. */
exports.write = (value, what) => {
  if (value === undefined || value === null) return { codec: 'CODEC_NONE', bytes: null };
  if (ArrayBuffer.isView(value)) {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    return { codec: 'CODEC_RAW', bytes, type_hint: value.constructor.name };
  }
  if (typeof value === 'string') return { codec: 'CODEC_UTF8', bytes: Buffer.from(value), type_hint: 'string' };
  try {
    const bytes = Buffer.from(msgpack.encode(value, { extensionCodec: PLAIN }));
    return { codec: 'CODEC_MSGPACK', bytes, type_hint: value.constructor?.name ?? typeof value };
  } catch (error) {
    throw new Failure('SERIALIZE', 'CODEC_MISMATCH', `${what} is no plain data: ${error.message}`);
  }
};

/** Writes bytes into a file that the worker gave. */
exports.fill = (file, bytes, pool) => {
  const fd = fs.openSync(path.join(pool, file.name), 'r+');
  try {
    fs.writeSync(fd, bytes, 0, bytes.length, Number(file.offset));
  } finally {
    fs.closeSync(fd);
  }
};

/** The name of a codec or compression without that of its enum. */
const short = (name) => String(name).replace(/^(CODEC|COMPRESSION)_/, '');

function bytesOf(buffer, pool) {
  if (buffer.place === 'inline') return buffer.inline;
  if (buffer.place !== 'pool_file') throw new Error(`its bytes are elsewhere: ${buffer.place}`);
  const { name, offset, length } = buffer.pool_file;
  const bytes = Buffer.alloc(Number(length));
  const fd = fs.openSync(path.join(pool, name), 'r');
  try {
    const count = fs.readSync(fd, bytes, 0, bytes.length, Number(offset));
    if (count < bytes.length) throw new Error(`${name} ends after ${count} of ${length} bytes`);
  } finally {
    fs.closeSync(fd);
  }
  return bytes;
}

/** Integers of 64 bits as numbers where these are exact, at any depth. */
function narrow(value) {
  if (typeof value === 'bigint') {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }
  if (value === null || typeof value !== 'object' || ArrayBuffer.isView(value) || value instanceof Date) return value;
  for (const key of Object.keys(value)) value[key] = narrow(value[key]);
  return value;
}
