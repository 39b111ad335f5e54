'use strict';
// What both examples need of the cluster: the way to it, its services off the .proto files, and values.

const fs = require('node:fs');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const msgpack = require('@msgpack/msgpack');

const files = ['actor', 'cluster', 'store'].map((name) => `bireme/v1/${name}.proto`);
const definition = loader.loadSync(files, {
  includeDirs: [path.join(__dirname, '../../proto')],
  keepCase: true,
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
});
const services = grpc.loadPackageDefinition(definition).bireme.v1;

/** Address and token of the cluster, from the file that its scheduler wrote for this user. */
function access(file) {
  const text = fs.readFileSync(file, 'utf8');
  const entry = (name) => new RegExp(`^${name} = "(.*)"$`, 'm').exec(text)[1];
  return { address: entry('address').replace('http://', ''), token: entry('token') };
}

function accessFile() {
  const at = process.argv.indexOf('--access-file');
  if (at > 0) return process.argv[at + 1];
  if (process.env.BIREME_ACCESS_FILE) return process.env.BIREME_ACCESS_FILE;
  const { XDG_RUNTIME_DIR: runtime } = process.env;
  return runtime ? path.join(runtime, 'bireme/access.toml') : `/tmp/bireme-${process.getuid()}/access.toml`;
}

/** The way to a cluster: `call('Cluster', 'OpenSession', request)` answers, `stream('Store', 'Fetch', request)` is read on. */
exports.connect = () => {
  const { address, token } = access(accessFile());
  const metadata = new grpc.Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  const stubs = new Map();
  const stub = (service) => {
    if (!stubs.has(service)) stubs.set(service, new services[service](address, grpc.credentials.createInsecure()));
    return stubs.get(service);
  };
  return {
    call: (service, name, request) =>
      new Promise((resolve, reject) =>
        stub(service)[name](request, metadata, (error, answer) => (error ? reject(error) : resolve(answer))),
      ),
    stream: (service, name, request) => stub(service)[name](request, metadata),
  };
};

/** The bytes of a message of a type such as `Payload`. */
exports.encode = (type, message) => definition[`bireme.v1.${type}`].serialize(message);

/** Plain data as an argument that every language reads. */
exports.value = (data) => {
  const bytes = Buffer.from(msgpack.encode(data));
  return { value: { codec: 'CODEC_MSGPACK', buffers: [{ inline: bytes }], size: bytes.length } };
};

/** Plain data out of a value; whoever gets something else is told who made it how. */
exports.plain = (value, bytes = Buffer.concat(value.buffers.map((buffer) => buffer.inline))) => {
  const { codec, type_hint: hint } = value;
  if (codec === 'CODEC_MSGPACK') return msgpack.decode(bytes);
  if (codec === 'CODEC_UTF8') return bytes.toString();
  if (codec === 'CODEC_NONE') return null;
  throw new Error(`the result has codec ${codec} (made of a ${hint}), and this client reads MSGPACK, UTF8 and NONE`);
};

/** Runs a program to its end. */
exports.run = (main) =>
  main().catch((error) => {
    console.error(`error: ${error.message}`);
    process.exitCode = 1;
  });
