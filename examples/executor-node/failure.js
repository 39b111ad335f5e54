'use strict';
// Why an attempt failed, as `TaskError` tells it.

/** What is sent of texts, in characters; the rest is cut. */
const NAME_CHARACTERS = 64;
const MESSAGE_CHARACTERS = 4 << 10;
const STACK_CHARACTERS = 16 << 10;

/** What is not the user's error: the class says where it went wrong, the reason is one of the protocol's. */
class Failure extends Error {
  constructor(kind, reason, message) {
    super(message);
    this.kind = kind;
    this.reason = reason;
  }
}

/** An error as a message. Whatever user code throws is of class USER, and its reason the name of the error. */
function describe(error) {
  const language = 'javascript';
  if (error instanceof Failure) {
    const { kind, reason, message } = error;
    return { class: `ERROR_CLASS_${kind}`, reason, message: text(message, MESSAGE_CHARACTERS), language };
  }
  if (!(error instanceof Error)) {
    const message = `${text(error, MESSAGE_CHARACTERS)} was thrown, which is no Error`;
    return { class: 'ERROR_CLASS_USER', reason: 'Error', message, language };
  }
  return {
    class: 'ERROR_CLASS_USER',
    reason: text(error.name, NAME_CHARACTERS),
    message: text(error.message, MESSAGE_CHARACTERS),
    traceback: text(error.stack, STACK_CHARACTERS),
    language,
  };
}

function text(value, characters) {
  try {
    return String(value).slice(0, characters);
  } catch {
    return 'something without a text';
  }
}

module.exports = { Failure, describe };
