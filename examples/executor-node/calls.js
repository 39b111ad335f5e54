'use strict';
// What an attempt or a call of an actor calls with what.

const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { decode } = require('./proto');
const { Failure } = require('./failure');
const values = require('./values');

/** The exports of modules, each a function or class under `name` and `module:name`. */
exports.load = async (files) => {
  const functions = new Map();
  for (const file of files) {
    const module = await import(pathToFileURL(path.resolve(file)));
    const found = { ...module.default, ...module };
    for (const [name, value] of Object.entries(found)) {
      if (typeof value !== 'function') continue;
      functions.set(`${path.parse(file).name}:${name}`, value);
      if (!functions.has(name)) functions.set(name, value);
    }
  }
  return functions;
};

/** The function or class, and the arguments, of an attempt or an actor. Arguments by name come last, as one object. */
exports.read = (run, functions, pool) => {
  const payload = decoded('Payload', run.payload);
  if (payload.work !== 'external') {
    throw new Failure('MALFORMED', 'MALFORMED', `payload.${payload.work} is no function of a language executor`);
  }
  const name = payload.external.name;
  const found = functions.get(name);
  if (!found) {
    const known = [...functions.keys()].filter((known) => known.includes(':')).join(', ');
    const asked = payload.external.function === 'blob' ? 'a function that is a blob' : `the function \`${name}\``;
    throw new Failure('NOT_FOUND', 'FUNCTION_UNKNOWN', `${asked} is not known to this executor; it has: ${known}`);
  }
  return { function: found, args: all(payload, run, pool) };
};

/** The arguments of a call of an actor. */
exports.argumentsOf = (call, pool) => {
  try {
    return all(decoded('CallArguments', call.arguments), { key: call.method, inputs: call.inputs }, pool);
  } catch (error) {
    // Wherever they are wrong, the call has not run.
    throw new Failure('DESERIALIZE', error.reason, error.message);
  }
};

function all({ args, named_args: named }, run, pool) {
  const read = args.map((arg, n) => argument(arg, `argument ${n} of ${run.key}`, run, pool));
  if (named.length > 0) read.push(map(named, `an argument of ${run.key}`, run, pool));
  return read;
}

function argument(arg, what, run, pool) {
  switch (arg.kind) {
    case 'value':
      return values.read(arg.value, what, pool);
    case 'input':
      if (arg.input >= run.inputs.length) {
        throw new Failure('MALFORMED', 'MALFORMED', `${what} is input ${arg.input} of ${run.inputs.length}`);
      }
      return values.read(run.inputs[arg.input], what, pool);
    case 'row':
      return values.read(decoded('Value', run.row), what, pool);
    case 'list':
      return arg.list.items.map((item) => argument(item, what, run, pool));
    case 'map':
      return map(arg.map.items, what, run, pool);
    default:
      throw new Failure('MALFORMED', 'MALFORMED', `${what} is of no kind that this executor knows`);
  }
}

function map(items, what, run, pool) {
  return Object.fromEntries(items.map(({ name, arg }) => [name, argument(arg, what, run, pool)]));
}

function decoded(type, bytes) {
  try {
    return decode(type, bytes);
  } catch (error) {
    throw new Failure('MALFORMED', 'MALFORMED', `the ${type} of the attempt cannot be decoded: ${error.message}`);
  }
}
