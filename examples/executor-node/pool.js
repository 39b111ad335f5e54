'use strict';
// Results on their way to the worker: small ones in the message, large ones in files of its pool.

const { Failure } = require('./failure');
const values = require('./values');

/** Results that ride in one message, in bytes, whatever the worker would allow for each. */
const BATCH_BYTES = 128 << 10;

class Pool {
  /** As the worker's first words say; `report` sends it something. */
  constructor({ pool_directory: directory, inline_bytes: inline }, report) {
    this.directory = directory;
    this.inline = Math.min(Number(inline), BATCH_BYTES);
    this.report = report;
    this.asked = new Map(); // What waits for an answer of the worker, by request.
    this.requests = 0;
  }

  /** Brings results of an attempt or an actor into the message, or into files where they are large. */
  async place(owner, results) {
    let room = this.inline;
    const placed = [];
    for (const { bytes, ...value } of results) {
      const size = bytes?.length ?? 0;
      let buffer = { inline: bytes };
      if (size <= room) {
        room -= size;
      } else {
        const file = await this.allocate(owner, size);
        values.fill(file, bytes, this.directory);
        buffer = { pool_file: file };
      }
      placed.push({ ...value, size, buffers: bytes ? [buffer] : [] });
    }
    return placed;
  }

  async allocate(owner, length) {
    const request = String(++this.requests);
    const answered = new Promise((resolve) => this.asked.set(request, resolve));
    this.report({ allocate_pool: { request, ...owner, lengths: [length] } });
    const { answer, allocated, refused } = await answered;
    if (answer === 'allocated') return allocated.files[0];
    throw new Failure('STORE', refused?.reason ?? 'STORE_FULL', refused?.message ?? 'the worker gave no file');
  }

  /** The worker has answered. */
  answer(answer) {
    this.asked.get(answer.request)?.(answer);
    this.asked.delete(answer.request);
  }
}

module.exports = { Pool };
