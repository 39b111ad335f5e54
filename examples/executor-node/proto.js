'use strict';
// The written protocol, loaded from its files: no code is generated.

const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const directory = path.join(__dirname, '../../proto');

const files = ['actor', 'executor'].map((name) => `bireme/v1/${name}.proto`);
const definition = loader.loadSync(files, {
  includeDirs: [directory],
  keepCase: true, // Fields are called what the files call them.
  longs: String, // Numbers of graphs have 64 bits, more than a number of JavaScript's.
  enums: String,
  defaults: true,
  oneofs: true, // Of a `oneof`, a field of its name tells which arm is set.
});

const { ActorHost, Actors, Executor } = grpc.loadPackageDefinition(definition).bireme.v1;
Object.assign(exports, { ActorHost, Actors, Executor });

/** Reads an encoded message of a type such as `Payload`; throws if the bytes are none. */
exports.decode = (type, bytes) => definition[`bireme.v1.${type}`].deserialize(bytes);

/** The bytes of a message of a type such as `CallArguments`. */
exports.encode = (type, message) => definition[`bireme.v1.${type}`].serialize(message);
