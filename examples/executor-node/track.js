'use strict';
// What this process leaves behind for its worker: how far it has come, and where what one attempt printed ends.
//
// An executor may do without. Then it is given one attempt at a time, and what it prints belongs to the one that runs when
// the worker reads it.

const fs = require('node:fs');

const SEAL_AT = 8;
const SEAL_BYTES = 16;
/** The number of whoever marks nothing. */
const UNSAID = Buffer.alloc(8, 0xff);

/** Opens the file that the worker made for this process; without one, nothing is marked. */
exports.open = (file) => {
  if (!file) return { mark() {}, silence() {}, end() {} };
  const fd = fs.openSync(file, 'r+');
  const [number, seal] = [Buffer.alloc(8), Buffer.alloc(SEAL_BYTES)];
  fs.readSync(fd, seal, 0, SEAL_BYTES, SEAL_AT);
  const streams = [process.stdout, process.stderr].map(watch);

  const track = {
    /** So many attempts have been started, in the order in which they were given, or the call of this number; it runs, or not. */
    mark(started, runs) {
      number.writeBigUInt64LE((BigInt(started) << 1n) | (runs ? 1n : 0n));
      fs.writeSync(fd, number, 0, number.length, 0);
    },
    /** Nothing can be told: several run at a time. */
    silence() {
      fs.writeSync(fd, UNSAID, 0, UNSAID.length, 0);
    },
    /** Writes the end of what an attempt printed behind it. */
    end({ task, epoch, n }) {
      const end = Buffer.concat([seal, Buffer.alloc(20)]);
      end.writeBigUInt64LE(BigInt(task.graph), SEAL_BYTES);
      [task.index, epoch, n].forEach((part, at) => end.writeUInt32LE(part, SEAL_BYTES + 8 + 4 * at));
      for (const stream of streams.filter((stream) => stream.printed)) {
        stream.write(end);
        stream.printed = false;
      }
    },
  };
  track.mark(0, false);
  return track;
};

/** Has a stream tell whether something was printed to it. */
function watch(stream) {
  const watched = { printed: false, write: stream.write.bind(stream) };
  stream.write = (...args) => {
    watched.printed = true;
    return watched.write(...args);
  };
  return watched;
}
