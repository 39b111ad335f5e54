'use strict';
// Runs a graph of native, JavaScript and Python functions on a Bireme cluster, with nothing but gRPC and the .proto files.
//
// Each value is made in one language and read in another. The script submits the graph, waits for it, prints the result as
// JSON and leaves nothing behind.

const { randomBytes } = require('node:crypto');
const { connect, encode, plain, run, value } = require('./cluster');

const TEXT = 'The ship has oars, the oars have rowers, and the rowers have the drum.';
const PATIENCE_US = 20_000_000;

const input = (n) => ({ input: n });
const list = (...items) => ({ list: { items } });

/** A task; only the worker unpacks its payload. `deps` are the numbers of tasks, as they stand in the graph. */
function task(key, kind, work, deps, ...args) {
  return { key, class: kind, deps, payload: encode('Payload', { ...work, args }) };
}

/** The whole graph in one chunk. */
function graph() {
  const [NATIVE, NODE, PYTHON] = [0, 1, 2];
  const native = (name) => ({ native: { name } });
  const named = (name) => ({ external: { name } });
  const language = (name) => ({ runtime: { kind: 'RUNTIME_KIND_EXTERNAL', name } });
  return {
    submission_id: randomBytes(16),
    classes: [{ runtime: { kind: 'RUNTIME_KIND_NATIVE' } }, language('node'), language('python')],
    tasks: [
      task('text', NATIVE, native('builtin/echo'), [], value(TEXT)),
      task('words', NODE, named('functions:words'), [0], input(0), value(3)),
      task('bytes', NATIVE, native('builtin/len'), [0], input(0)),
      task('cuts', PYTHON, named('statistics:quantiles'), [], value([1, 2, 3, 4, 5, 6, 7])),
      task('summary', NODE, named('functions:summary'), [3], input(0)),
      // A list of pairs, of which Python makes a map.
      task(
        'report',
        PYTHON,
        named('builtins:dict'),
        [1, 2, 4],
        list(list(value('words'), input(0)), list(value('bytes'), input(1)), list(value('summary'), input(2))),
      ),
    ],
    options: { name: 'mixed' },
    last: true,
  };
}

async function main() {
  const cluster = connect();
  const call = (name, request) => cluster.call('Cluster', name, request);

  /** The value of a task's output: in the answer if it is small, else fetched, through the scheduler. */
  const result = async (selector) => {
    for (;;) {
      const answer = await call('GetResult', { task: selector, max_wait_us: PATIENCE_US });
      if (answer.pending) continue;
      if (answer.error) throw new Error(`there is no result: ${answer.error.message}`);
      if (answer.value) return plain(answer.value);
      const [chunks, head] = [[], {}];
      for await (const { part, head: first, chunk } of cluster.stream('Store', 'Fetch', { object: answer.object })) {
        if (part === 'head') Object.assign(head, first.value);
        else chunks.push(chunk.data);
      }
      return plain(head, Buffer.concat(chunks));
    }
  };

  const session = randomBytes(16);
  await call('OpenSession', { open: { token: session, name: 'grpc-node' } });
  const { graph: number } = await call('SubmitGraph', { session, chunk: graph() });
  const { pending, failures } = await call('WaitGraph', { graph: number, max_wait_us: PATIENCE_US });
  for (const { key, error } of failures) console.error(`${key} failed: ${error}`);
  if (pending || failures.length > 0) throw new Error('the graph did not finish');
  console.log(JSON.stringify(await result({ key: { graph: number, key: 'report' } })));
  // The graph goes with its session.
  await call('CloseSession', { session, close: { submission_id: randomBytes(16) } });
}

run(main);
