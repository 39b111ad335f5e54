'use strict';
// Makes a counter, counts to a hundred with it and reads it, with nothing but gRPC and the .proto files: once with the counter
// that every worker has, and once with one in JavaScript, `examples/executor-node/counter.js`.

const { randomBytes } = require('node:crypto');
const { connect, encode, plain, run, value } = require('./cluster');

const PATIENCE_US = 20_000_000;
const CALLS = 100;

const NATIVE = {
  class_name: 'builtin/Counter',
  runtime: { kind: 'RUNTIME_KIND_NATIVE' },
  work: { native: { name: 'builtin/Counter' } },
};
const JAVASCRIPT = {
  class_name: 'Counter',
  runtime: { kind: 'RUNTIME_KIND_EXTERNAL', name: 'node' },
  work: { external: { name: 'counter:Counter' } },
};

async function main() {
  const cluster = connect();
  const session = randomBytes(16);

  /** Makes an actor and waits until it takes calls. */
  const create = async ({ work, ...spec }, ...args) => {
    const request = { submission_id: randomBytes(16), session, max_wait_us: PATIENCE_US };
    const payload = encode('Payload', { ...work, args: args.map(value) });
    const made = await cluster.call('Actors', 'Create', { ...request, spec: { ...spec, payload } });
    if (made.pending) throw new Error(`${spec.class_name} is not there yet: ${made.unplaceable.join(', ')}`);
    if (made.place.cause) throw new Error(made.place.cause.message);
    return { actor: made.actor };
  };

  /** Calls a method. A repeated request, with the same id, is the same call. */
  const call = async (actor, method, ...args) => {
    const named = { submission_id: randomBytes(16), session, actor, method };
    const request = { ...named, arguments: encode('CallArguments', { args: args.map(value) }), max_wait_us: PATIENCE_US };
    let answer;
    do answer = await cluster.call('ActorHost', 'Call', request);
    while (answer.pending);
    const { outcome, value: returned, user_error: error, failure } = answer.outcome;
    if (outcome === 'value') return plain(returned);
    throw new Error(error?.message ?? `${failure.code}: ${failure.message}`);
  };

  await cluster.call('Cluster', 'OpenSession', { open: { token: session, name: 'counter' } });
  for (const spec of [NATIVE, JAVASCRIPT]) {
    const counter = await create(spec);
    // Each is made when the one before has ended, so that they are in order.
    for (let n = 1; n <= CALLS; n += 1) {
      const counted = await call(counter, 'increment');
      if (counted !== n) throw new Error(`call ${n} gave ${counted}`);
    }
    const sum = await call(counter, 'add', 10);
    console.log(`${spec.class_name}: ${sum}, ${await call(counter, 'get')}`);
    if (spec === JAVASCRIPT) console.log(`its n: ${await call(counter, '__getattribute__', 'n')}`);
  }
  // The actors go with their session.
  await cluster.call('Cluster', 'CloseSession', { session, close: { submission_id: randomBytes(16) } });
}

run(main);
