//! Every bound of the system, and what happens there.

use crate::time::Span;

/// Longest message on a control or actor stream, in bytes. A longer one ends the stream: no correct peer sends it.
pub const MESSAGE_BYTES: usize = 256 << 10;
/// Longest message of a call, in bytes: a page of a list is larger than a batch.
pub const CALL_BYTES: usize = 4 * MESSAGE_BYTES;
/// Target size of a batch, in bytes: a sender closes the batch when it passes this.
pub const BATCH_BYTES: usize = 128 << 10;
/// Largest value that travels inside a control message and that the scheduler caches, in bytes. A larger one is a reference.
pub const INLINE_BYTES: u64 = 4 << 10;
/// Bytes of small values the scheduler caches. Above it, those that have another replica or can be recomputed go, the least
/// recently used first.
pub const SMALL_VALUES_BYTES: u64 = 256 << 20;
/// Bytes of one stream that a client takes in before its reader has seen them.
pub const STREAM_WINDOW_BYTES: u32 = 2 << 20;
/// The same, of all streams of a connection together.
pub const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// Length of a chunk on a `Store` stream, in bytes.
pub const STORE_CHUNK_BYTES: usize = 256 << 10;
/// Largest value that may be put or produced, in bytes. A larger one is refused as `VALUE_TOO_LARGE`.
pub const VALUE_BYTES: u64 = 1 << 40;
/// Buffers of one value that travels by itself.
pub const VALUE_BUFFERS: usize = 4_096;

/// Longest task key, in bytes. A longer one refuses the chunk.
pub const KEY_BYTES: usize = 1_024;
/// Longest name of a session, worker, graph or label, in bytes.
pub const NAME_BYTES: usize = 256;
/// Largest payload of one task, in bytes; larger arguments travel as references.
pub const PAYLOAD_BYTES: usize = 64 << 10;
/// Tasks in one chunk.
pub const CHUNK_TASKS: usize = 16_384;
/// Tasks in one graph. A chunk that would pass it is refused, and its graph fails.
pub const GRAPH_TASKS: u32 = 1 << 28;
/// Inputs of one task.
pub const TASK_INPUTS: usize = 8_192;
/// Outputs of one task.
pub const TASK_OUTPUTS: u16 = 256;
/// Classes of one graph.
pub const GRAPH_CLASSES: usize = 4_096;
/// Values from outside that one graph names.
pub const GRAPH_EXTERNALS: usize = 1 << 20;
/// Warnings that a client keeps of one graph; further ones are only logged.
pub const GRAPH_WARNINGS: usize = 64;
/// Warnings that wait for Python's `logging` in a client; a further one is not logged there.
pub const WARNINGS_UNLOGGED: usize = 256;
/// Unforgotten graphs of one session; a further one is refused.
pub const SESSION_GRAPHS: usize = 65_536;
/// Sessions of one scheduler; a further one is refused.
pub const SESSIONS: usize = 4_096;
/// Workers of one scheduler; a further one is refused.
pub const WORKERS: usize = 65_536;
/// Unfinished tasks of one scheduler; a chunk that would pass it is refused as `TOO_MANY_TASKS`.
pub const TASKS: u64 = 1 << 28;
/// Named resources of a task or worker besides cpus and memory.
pub const RESOURCES: usize = 32;
/// Numbered pieces of one named resource of a worker. Of a resource of which it has more, only the sum is accounted for.
pub const PIECES: u64 = 64;
/// Labels of a worker or class.
pub const LABELS: usize = 64;
/// Workers that a class may name.
pub const CLASS_WORKERS: usize = 1_024;
/// Features that a greeting may name; with more of them the stream is refused.
pub const FEATURES: usize = 64;
/// Addresses that a worker may give; with more of them it is refused.
pub const ADDRESSES: usize = 16;
/// Attempts that a worker's black box tells of; with more of them the worker is refused.
pub const BLACK_BOX: usize = 8_192;
/// Functions that a worker announces.
pub const FUNCTIONS: usize = 16_384;

/// Attempts sent to a worker beyond what it can run at once, at most: about two round trips of work.
pub const PREFILL_MAX: u32 = 1_024;
/// Prefill of a worker whose tasks' duration is not known yet, for each cpu.
pub const PREFILL_UNKNOWN: u32 = 4;
/// The round trip to a worker that prefill is reckoned by.
pub const PREFILL_ROUND_TRIP: Span = Span::millis(2);
/// Attempts sent to a worker whose inputs are still being made there, at most.
pub const AHEAD_MAX: u32 = 256;
/// Attempts sent to a worker in all, where they take so little that resources set no limit.
pub const WORKER_SENT: usize = 4_096;
/// Attempts handed to an executor beyond those that run, so that the next starts without a hand-over.
pub const FOLLOWERS: usize = 64;
/// Values on a worker that sessions put there and have not told of yet; the worker is to drop further ones.
pub const UNTOLD_VALUES: usize = 4_096;
/// Commands of a session whose answers are remembered, so that the same command again gets the same answer.
pub const SUBMISSIONS: usize = 1_024;
/// Answers a session may leave unread. One that leaves more is cut off as `BUSY`; it can come back.
pub const ANSWERS: usize = 8_192;
/// Orders that a worker's own reports have led to and that it has not read. One that leaves more is cut off as `BUSY`; it can
/// come back.
pub const WORKER_OWED: usize = 1 << 16;
/// Objects, attempts and ends that one worker may announce. One with more is cut off as `BUSY`.
pub const ANNOUNCED: usize = 1 << 24;
/// Missing inputs of a task that may be sent ahead of them, at most.
pub const AHEAD_INPUTS: u32 = 8;
/// How often an attempt that can run, but does not fit into what is free, is passed by later ones that do. After that they
/// wait for it.
pub const PASSES: u32 = 64;
/// How long code that ran over its time may go on after it was told to end.
pub const TIMEOUT_GRACE: Span = Span::secs(1);

/// Commands of a client that are not answered, at most; a further one waits. A new stream begins with them, so they are fewer
/// than the scheduler remembers ([`SUBMISSIONS`]).
pub const UNANSWERED: usize = 512;
/// The same in bytes: more than the windows of a connection, so that no stream waits for answers.
pub const UNANSWERED_BYTES: usize = 16 << 20;
/// Ranges of tasks in one command, or in what a client says it knows when it comes back; what is not in them is told again.
pub const KNOWN_RANGES: usize = 64;
/// How often a result whose holders do not give it is asked for again. With pauses of up to [`RECONNECT_MAX`] that is longer
/// than it takes to notice that a worker is lost ([`WORKER_LOST`]).
pub const RESULT_TRIES: u32 = 16;
/// Reports waiting in a stream's outgoing channel before the sender waits for room, in messages.
pub const OUTBOX_MESSAGES: usize = 4;
/// Messages waiting for a daemon's machine before their senders wait, in batches.
pub const INBOX_BATCHES: usize = 1_024;
/// Events handled before outgoing messages are flushed.
pub const INBOX_DRAIN: usize = 1_024;
/// Longest time an outgoing message waits for others.
pub const FLUSH: Span = Span::millis(1);
/// The same for news that nobody waits for: that a part of a graph was accepted, that an attempt has started. It is longer
/// than the tick of the system's clock: a timer that is due within one is set anew by the system for each wait.
pub const FLUSH_LATE: Span = Span::millis(8);

/// How often a worker reports itself.
pub const HEARTBEAT: Span = Span::secs(1);
/// A worker silent for so long is lost.
pub const WORKER_LOST: Span = Span::secs(15);
/// A worker whose stream broke may come back within this time before it counts as lost.
pub const WORKER_GRACE: Span = Span::secs(5);
/// How long a session outlives a lost stream unless it asked otherwise.
pub const SESSION_TTL: Span = Span::secs(60);
/// The longest it may ask for.
pub const SESSION_TTL_MAX: Span = Span::secs(30 * 24 * 3600);
/// Longest a call may wait for news before it answers `pending`.
pub const MAX_WAIT: Span = Span::secs(30);
/// How long a new stream may take for its first message.
pub const HELLO_WAIT: Span = Span::secs(10);
/// How long a scheduler that starts waits for the one that its access file names to answer.
pub const ACCESS_PROBE: Span = Span::secs(1);
/// When a peer that was turned away for the time being may come again.
pub const RETRY_AFTER: Span = Span::secs(1);
/// How often a connection without traffic is pinged.
pub const PING: Span = Span::secs(10);
/// How long the answer to a ping may take before the connection counts as lost.
pub const PING_WAIT: Span = Span::secs(20);
/// Calls that wait for news at a time; a further one is refused as `BUSY`.
pub const CALLS: usize = 4_096;
/// Refusals of malformed commands that a client has not read; beyond them its stream ends.
pub const REFUSALS_UNREAD: usize = 256;
/// Transfers between workers and clients that the scheduler relays at a time; a further one is refused as `BUSY`.
pub const RELAYS: usize = 64;
/// Streams of calls to actors that the scheduler relays at a time, each for one caller and worker; a further one is refused as
/// `BUSY`.
pub const CALL_RELAYS: usize = 1_024;
/// How long a client tries to connect to a worker before it has the scheduler relay, and the scheduler before it tries the
/// worker's next address: with two of them the client, which waits for [`HELLO_WAIT`], still hears of it.
pub const DIRECT_WAIT: Span = Span::secs(4);
/// How long an address at which a worker could not be reached is not tried again while the scheduler relays.
pub const RELAY_FOR: Span = Span::secs(60);
/// Workers that are asked at a time for what earlier attempts of a task printed.
pub const LOG_WORKERS: usize = 16;
/// Workers whose place in what they show is part of a cursor.
pub const LOG_CURSORS: usize = 64;
/// When a worker that an attempt is on its way to is asked again for what that prints.
pub const LOG_AGAIN: Span = Span::millis(250);
/// Tasks that a call which watches a graph looks at in one turn.
pub const WATCH_TASKS: usize = 4_096;
/// How long a scheduler that ends waits until its last messages are read.
pub const STOP_WAIT: Span = Span::secs(2);
/// An HTTP/2 connection that is silent for so long is asked whether it lives.
pub const PING_IDLE: Span = Span::secs(20);
/// Bytes that a peer may send ahead on one stream before they are read.
pub const STREAM_WINDOW: u32 = 1 << 20;
/// The same for all streams of a connection together.
pub const CONNECTION_WINDOW: u32 = 4 << 20;
/// How often the pages for people and Prometheus are brought up to date, at most.
pub const METRICS_AGE: Span = Span::secs(1);
/// How often a session is told how a graph stands.
pub const GRAPH_UPDATE: Span = Span::millis(100);

/// Threads of a worker's in-process pool. Attempts granted beyond it wait for a thread.
pub const POOL_THREADS: usize = 1_024;
/// Executor processes that one worker has for each of its runtimes. Attempts granted beyond them wait for one.
pub const EXECUTORS: usize = 256;
/// Executor processes beyond those, of each runtime, whose attempts have given their cpus back and wait for tasks of their own,
/// unless the worker was told otherwise. One more fails to wait, as `WOULD_DEADLOCK`.
pub const WAITING_EXECUTORS: usize = 64;
/// Attempts on threads of the in-process pool that may have given their cpus back at a time. One more fails to wait, as
/// `WOULD_DEADLOCK`: the other threads are for what these wait for.
pub const WAITING_THREADS: usize = POOL_THREADS / 2;
/// How long native code waits with its cpus before it gives them back. To give them back and have them again takes two round
/// trips with the worker, which is more than most calls of actors take.
pub const SECEDE_AFTER: Span = Span::millis(1);
/// How deeply sessions of attempts may be nested in each other.
pub const NESTED: u32 = 1_024;
/// Language runtimes of one worker.
pub const RUNTIMES: usize = 64;
/// Ways in which a worker runs its languages besides as they are installed: in environments, and with a process for each
/// attempt. The least recently used one that runs nothing goes; an attempt for which none goes fails, as `BUSY`.
pub const VARIANTS: usize = 64;
/// Processes of such a way in which nothing has run for so long are ended.
pub const VARIANT_IDLE: Span = Span::secs(60);
/// Environments that a worker builds at a time. Further ones wait.
pub const ENVIRONMENT_BUILDS: usize = 2;
/// How long building an environment may take. Then it has failed.
pub const ENVIRONMENT_BUILD: Span = Span::secs(30 * 60);
/// For so long after an environment could not be built, attempts that need it fail at once with the same error.
pub const ENVIRONMENT_PAUSE: Span = Span::secs(10);
/// Environments of which a worker remembers whether they are there, are being built, or could not be.
pub const ENVIRONMENTS_KNOWN: usize = 1_024;
/// Bytes of environments that workers keep in one directory, unless told otherwise. Beyond them the least recently used
/// ones go that no process runs in.
pub const ENVIRONMENTS_BYTES: u64 = 20 << 30;
/// Bytes of one environment's unpacked archive. A larger one is refused.
pub const ENVIRONMENT_UNPACKED_BYTES: u64 = 16 << 30;
/// Files of one environment's archive. One with more is refused.
pub const ENVIRONMENT_FILES: usize = 500_000;
/// How long an executor process of a language may take from its start until it comes back to its worker.
pub const EXECUTOR_START: Span = Span::secs(60);
/// When a process has waited for an actor for so long, actors come one by one, and the next process is begun later.
pub const SPARE_CALM: Span = Span::millis(20);
/// So much later: the actor has been made by then, and has answered its first call.
pub const SPARE_DELAY: Span = Span::millis(5);
/// Events that the thread of an executor process takes from the system at a time. It has one socket, and more of them would be
/// pages to write to while it begins.
pub const EXECUTOR_EVENTS: usize = 64;
/// How long a process from which executor processes are forked may take to make one.
pub const FORK_WAIT: Span = Span::secs(5);
/// The environment of a process that is to be forked, in bytes as it is sent. With a longer one it is started.
pub const FORK_ORDER_BYTES: usize = 64 << 10;
/// When so many processes from which others are forked have made none, no other is begun.
pub const FORK_SERVERS: u32 = 3;
/// After an executor process could not be started, no other is for so long, and attempts that need one fail at once; twice
/// as long each further time.
pub const EXECUTOR_PAUSE: Span = Span::millis(250);
/// The longest such pause.
pub const EXECUTOR_PAUSE_MAX: Span = Span::secs(30);
/// An attempt is to blame when so many executor processes died that were about to run it, though none said that it ran.
pub const EXECUTOR_DEATHS: u32 = 3;
/// Bytes of blobs that an executor process is to keep, besides those that its attempts need. The least recently used ones go.
pub const EXECUTOR_BLOBS_BYTES: u64 = 64 << 20;
/// Functions of which a worker knows, for each executor process, what room their results take. Of more, the one heard of longest
/// ago is forgotten, and its attempts ask.
pub const EXECUTOR_HABITS: usize = 16;
/// Buffers for which an attempt may be given room before it asks; with more it has to ask.
pub const EXECUTOR_ROOM: usize = 64;
/// Attempts given to an executor process beyond the one that runs, so that the next starts without a hand-over.
pub const EXECUTOR_AHEAD: usize = 32;
/// They are together no more than so much work, by what the attempts before them took.
pub const EXECUTOR_AHEAD_WORK: Span = Span::millis(4);
/// How long a fetch waits for room in a full store before its attempts are told that it came to nothing.
pub const ROOM_WAIT: Span = Span::secs(1);
/// How often is looked at the memory of an attempt that stated how much it takes.
pub const EXECUTOR_WEIGHED: Span = Span::millis(50);
/// An attempt that runs for so long has those that wait behind it given to others.
pub const EXECUTOR_PATIENCE: Span = Span::millis(8);
/// Pause between the signals by which an executor process is ended, whose attempt does not return when it should.
pub const EXECUTOR_SIGNALS: Span = Span::millis(100);
/// How long the last words of an executor process that has ended are waited for.
pub const EXECUTOR_LAST_WORDS: Span = Span::secs(1);
/// Ends of attempts that a worker remembers of each executor process, to tell what was printed just before.
pub const EXECUTOR_RECENT: usize = 64;
/// Commands that one worker runs at a time; further ones wait.
pub const COMMANDS: usize = 1_024;
/// Longest standard output, or output file, of a command, in bytes. A longer one fails the attempt as `VALUE_TOO_LARGE`.
pub const COMMAND_OUTPUT_BYTES: u64 = 256 << 20;
/// All inputs of a command together, and all of its outputs, in bytes: both pass through the worker's memory. More fails the
/// attempt as `VALUE_TOO_LARGE`.
pub const COMMAND_BYTES: u64 = 1 << 30;
/// How long a command's output is read on after the command has ended and its process group was killed.
pub const COMMAND_PIPE_WAIT: Span = Span::secs(1);
/// Bytes of one file of what attempts print; then the next one begins.
pub const LOG_SEGMENT_BYTES: u64 = 64 << 20;
/// Pieces in such a file; then the next one begins.
pub const LOG_SEGMENT_RECORDS: usize = 65_536;
/// Such files that a worker keeps. Before a further one the oldest is dropped, and readers are told that they lag.
pub const LOG_SEGMENTS: usize = 4;
/// Longest piece of what an attempt printed, in bytes; more is several pieces.
pub const LOG_CHUNK_BYTES: usize = 64 << 10;
/// What an attempt prints within this time of the start of a piece becomes a part of it.
pub const LOG_MERGE: Span = Span::millis(100);
/// Readers of what attempts printed, at a time; a further one is refused as `BUSY`.
pub const LOG_READERS: usize = 256;
/// Calls and bulk connections by which one worker fetches at a time; what is to be fetched beyond them waits.
pub const FETCHES: usize = 16;
/// Values that one of them brings, at most.
pub const FETCH_BATCH: usize = 256;
/// A fetch brings no further value once those that it is to bring have so many bytes.
pub const FETCH_BATCH_BYTES: u64 = 8 << 20;
/// The same for values that come in messages rather than beside them.
pub const FETCH_INLINE_BYTES: u64 = 448 << 10;
/// Values that a worker fetches at a time, so that many small ones come together; further ones wait.
pub const FETCHING: usize = FETCHES * FETCH_BATCH;
/// The same in bytes. A worker with so many under way has [`FETCHES`] values come at a time, and no more.
pub const FETCHING_BYTES: u64 = FETCHES as u64 * FETCH_BATCH_BYTES;
/// Fetches from one peer at a time; together they keep both ends busy.
pub const FETCHES_PER_PEER: usize = 4;
/// Fetches of at least so many bytes in all take a bulk connection.
pub const BULK_BYTES: u64 = 64 << 10;
/// Bulk connections that a worker serves at a time, each on a thread; a further one waits for [`FETCH_WAIT`].
pub const BULK_CONNECTIONS: usize = 64;
/// Longest ticket, in bytes; a longer one ends its connection.
pub const TICKET_BYTES: usize = 64 << 10;
/// How long a ticket opens bulk connections. Bytes that came by one and are not put wait as long again.
pub const TICKET_WAIT: Span = Span::secs(30);
/// Tickets to write with that a worker has given and whose values have not been put; a further one is refused as `BUSY`.
pub const PUT_TICKETS: usize = 256;
/// How long a peer may take to accept a connection, or to send the next part of an object, before the next holder is asked.
pub const FETCH_WAIT: Span = Span::secs(10);
/// Room made for an object's bytes before they have come, at most, in bytes: a peer's word is not trusted beyond it.
pub const FETCH_ROOM_BYTES: u64 = 16 << 20;
/// Longest pause between the attempts of a worker or client to reach its scheduler; the first is a hundredth of it.
pub const RECONNECT_MAX: Span = Span::secs(2);
/// Pause before a worker's daemon that died is started again; twice as long each time that it dies soon.
pub const RESTART_PAUSE: Span = Span::millis(100);
/// Longest such pause.
pub const RESTART_PAUSE_MAX: Span = Span::secs(10);
/// A daemon that has lived for so long is started again after the shortest pause.
pub const RESTART_SETTLED: Span = Span::secs(60);
/// How long killed processes may take to go before they are left behind, with a line in the log.
pub const REAP_WAIT: Span = Span::secs(10);
/// Longest message by which a worker's supervisor tells a new daemon who it is, in bytes. A longer one is an error.
pub const INHERITANCE_BYTES: usize = 4 << 20;
/// How long a daemon that was told to end waits for what runs.
pub const DRAIN_WAIT: Span = Span::secs(60);
/// Turns of tasks' stories that the scheduler remembers, of all together; the oldest go.
pub const STORY_TURNS: usize = 65_536;
/// Tasks that one task needs that are shown at a time, and as many that need it; the rest is counted.
pub const TASK_NEIGHBOURS: usize = 1_000;
/// Attempts of a task that are shown, the latest; older ones are left out.
pub const TASK_ATTEMPTS: usize = 100;
/// Longest message of such a turn, in bytes; the rest is cut.
pub const STORY_MESSAGE_BYTES: usize = 256;
/// Values of a worker on its way out that are copied to others at a time; the rest waits.
pub const DRAIN_COPIES: usize = 256;
/// After so long another worker is asked for the copy of such a value.
pub const COPY_AGAIN: Span = Span::secs(30);
/// How often it is seen whether such a worker has made further values.
pub const DRAIN_LOOK: Span = Span::secs(1);
/// How long a worker that leaves waits until its last reports are read.
pub const LEAVE_WAIT: Span = Span::secs(1);
/// A worker starts nothing while its values take more than this share of its memory, in percent.
pub const PAUSE_PERCENT: u64 = 80;
/// A paused worker goes on when its values take less than this share of its memory, in percent.
pub const RESUME_PERCENT: u64 = 70;

/// Buffers of at least this length are kept in files of the shared-memory pool, in bytes; shorter ones in the daemon's own
/// memory.
pub const POOL_FILE_BYTES: u64 = 64 << 10;
/// Every buffer in a pool file starts on a multiple of this, in bytes.
pub const POOL_ALIGN_BYTES: u64 = 64;
/// Pool files that wait to be used again take at most this share of a worker's memory, in percent; others are removed.
pub const POOL_FREE_PERCENT: u64 = 10;
/// Pool files that a worker keeps open; others are opened each time.
pub const POOL_OPEN_FILES: usize = 512;
/// Mappings of pool files that an executor process keeps to read, and as many to write; the least recently used go.
pub const POOL_MAPS: usize = 64;
/// What they take at most, in bytes, each of the two; the least recently used go. For so much memory, the worker may believe for a
/// [`HEARTBEAT`] that it is free.
pub const POOL_MAPPED_BYTES: u64 = 128 << 20;
/// Of longer pool files an executor process keeps no mapping, in bytes. When it has mapped so much anew it lets go of files that the
/// worker has removed.
pub const POOL_MAPPED_FILE_BYTES: u64 = 16 << 20;
/// For how long a caller on the same machine has pool files to itself, unless it asks for less.
pub const POOL_LEASE: Span = Span::secs(60);
/// Bytes of short buffers in one answer about pool files; one that would have more is refused as `MESSAGE_TOO_LARGE`.
pub const POOL_INLINE_BYTES: u64 = 16 << 20;
/// Leases of pool files that a worker gives at a time; a further one is refused as `BUSY`.
pub const POOL_LEASES: usize = 4_096;
/// Buffers of at least this length are mapped by clients on their worker's machine, in bytes; shorter ones are copied.
pub const MAP_BYTES: u64 = 256 << 10;
/// Pool files that a client maps at a time, each of which it has open; what further ones hold is copied.
pub const MAPS: usize = 256;
/// Values go to disk, the least recently used first, when they take more than this share of a worker's memory, in percent.
pub const SPILL_PERCENT: u64 = 65;
/// They go until the rest takes at most this share, in percent.
pub const SPILL_TO_PERCENT: u64 = 55;
/// Allocations up to this length are made by the thread that serves peers, in bytes; longer ones elsewhere, unless files that were
/// used before will do.
pub const ALLOCATE_NOW_BYTES: u64 = 1 << 20;
/// Objects and blobs that one call may ask about.
pub const STAT_OBJECTS: usize = 1_000;
/// Blobs that a worker fetches from its scheduler at a time.
pub const BLOB_FETCHES: usize = 8;
/// How often a worker asks for a blob that does not come, before the attempts that need it are sent elsewhere.
pub const BLOB_TRIES: u32 = 5;
/// Bytes of blobs that a worker keeps. Beyond them the least recently used ones go.
pub const BLOBS_BYTES: u64 = 1 << 30;
/// Longest blob, in bytes, such as the archive of an environment. A longer one is refused as `VALUE_TOO_LARGE`.
pub const BLOB_BYTES: u64 = 4 << 30;
/// Bytes of blobs that the scheduler keeps in its memory. Beyond them the least recently used ones go.
pub const SCHEDULER_BLOBS_BYTES: u64 = 256 << 20;
/// Longest blob that the scheduler keeps in its memory, in bytes; longer ones are kept in files.
pub const SCHEDULER_BLOB_BYTES: u64 = 16 << 20;
/// Bytes of blobs that the scheduler keeps in files. Beyond them the least recently used ones go.
pub const SCHEDULER_BLOB_FILES_BYTES: u64 = 2 * BLOB_BYTES;

/// Connections to a daemon's port at a time; further ones wait in the kernel's queue.
pub const CONNECTIONS: usize = 16_384;
/// How long a daemon that is out of descriptors or memory waits before it accepts again.
pub const ACCEPT_PAUSE: Span = Span::millis(100);
/// Connections to a daemon's HTTP port at a time; further ones wait in the kernel's queue.
pub const HTTP_CONNECTIONS: usize = 64;
/// How long an HTTP client may take for the headers of a request, or between requests, before it is cut off.
pub const HTTP_HEADER_WAIT: Span = Span::secs(10);
/// Longest head of an HTTP request, in bytes; a longer one is refused.
pub const HTTP_HEADER_BYTES: usize = 16 << 10;
/// Tokens that a daemon knows; a further one is refused.
pub const TOKENS: usize = 1_024;
/// Longest name in an issued token, in bytes; a longer one is refused.
pub const TOKEN_NAME_BYTES: usize = 64;
/// Longest token, in bytes; a longer one is refused.
pub const TOKEN_BYTES: usize = 256;

/// Longest message of a status that ends a call, in bytes; the rest is cut. It travels in headers, more than once.
pub const STATUS_MESSAGE_BYTES: usize = 1 << 10;
/// Longest stable name of an error, in bytes; the rest is cut.
pub const ERROR_REASON_BYTES: usize = 64;
/// Longest message of an error, in bytes; the rest is cut.
pub const ERROR_MESSAGE_BYTES: usize = 4 << 10;
/// Longest stack trace of an error, in bytes; the rest is cut.
pub const ERROR_TRACEBACK_BYTES: usize = 16 << 10;
/// Printed lines kept with an error.
pub const ERROR_LAST_LINES: usize = 20;
/// Longest of those lines, in bytes.
pub const ERROR_LINE_BYTES: usize = 400;
/// Errors behind an error; the rest is dropped.
pub const ERROR_CAUSES: usize = 4;

/// Lanes of one actor.
pub const ACTOR_LANES: usize = 64;
/// Calls of one lane that run at a time; each has a thread.
pub const LANE_CONCURRENCY: u32 = 1_024;
/// Variables set in the process of an actor.
pub const ACTOR_VARIABLES: usize = 256;
/// Methods of one actor of which something special is said.
pub const ACTOR_METHODS: usize = 1_024;
/// Actors of one scheduler, dead ones that are remembered included; a further one is refused.
pub const ACTORS: usize = 1 << 20;
/// How long a host may go on without a word from the scheduler, where its actor says that it stops and not after how long.
pub const ACTOR_LEASE: Span = Span::secs(60);
/// How long after its death an actor's last checkpoint and the cause are kept, where it does not say.
pub const ACTOR_TTL: Span = Span::secs(600);
/// How long an actor whose log lies on a lost worker waits for that worker before it counts as dead.
pub const ACTOR_HOME_WAIT: Span = Span::secs(300);
/// How long after the lease of an incarnation that may still live the next one is started: what it takes to notice that a
/// stream is dead, and for clocks that do not run alike.
pub const ACTOR_FENCE: Span = Span(PING_IDLE.0 + PING_WAIT.0 + 1_000_000);
/// How an incarnation of an actor ended is remembered for so many of them.
pub const ACTOR_DEATHS: usize = 5;
/// Actors without a worker that are looked at in one step of the scheduler.
pub const ACTORS_LOOKED_AT: usize = 256;
/// Actors that have gone of which those who watch are told; a watch that is further behind begins anew.
pub const ACTORS_GONE: usize = 4_096;
/// Actors whose last incarnation a worker remembers once its end is settled, so that an order of before is known as such.
pub const ACTORS_SETTLED: usize = 4_096;
/// Methods of all classes of actors that are counted one by one; further ones are counted together.
pub const ACTOR_SERIES: usize = 1_024;
/// Crashes with the same call running after which that call is not tried again, where the actor does not say.
pub const POISON_AFTER: u32 = 2;
/// Calls of one caller that an actor holds without a reply, where the actor does not say.
pub const MAILBOX_CALLS: u32 = 4_096;
/// Bytes of arguments that an actor holds, where it does not say.
pub const MAILBOX_BYTES: u64 = 256 << 20;
/// Calls that a caller keeps for one actor before those who make more are held back.
pub const CALLS_PENDING: usize = 65_536;
/// Bytes of those calls before those who make more are held back.
pub const CALLS_PENDING_BYTES: usize = 64 << 20;
/// Replies that a caller takes before it says so; they are kept by the host until then.
pub const CALL_ACK_AFTER: u64 = 64;
/// How long it waits with saying so, if there are fewer.
pub const CALL_ACK_DELAY: Span = Span::millis(50);
/// Pause after a first attempt to reach an actor that failed; it doubles with each.
pub const ACTOR_REACH_PAUSE: Span = Span::millis(25);
/// The longest of these pauses.
pub const ACTOR_REACH_PAUSE_MAX: Span = Span::secs(1);
/// Calls that wait for a call, as it tells them. A longer chain ends as a deadlock.
pub const CALL_CHAIN: usize = 64;
/// How long a call waits behind another that runs before a host looks whether they wait for each other; and again after that.
pub const DEADLOCK_PROBE_AFTER: Span = Span::secs(1);
/// Longest name of a class or method in what looks for that, in bytes; what is longer is cut.
pub const PROBE_NAME_BYTES: usize = 100;
/// Arguments or result of a call that travel on the call stream itself, in bytes; larger ones are references.
pub const CALL_INLINE_BYTES: u64 = 64 << 10;
/// Calls that an actor's process is given before those given earlier have ended, in a lane that runs one at a time.
pub const CALLS_AHEAD: usize = 256;
/// Callers that an actor remembers. Those without replies that wait for them go first.
pub const ACTOR_CALLERS: usize = 65_536;
/// Items of a streaming call that are sent before the caller grants more, where it does not say.
pub const CALL_ITEMS: u32 = 64;
/// Items of a streaming call that its host keeps for a caller that does not acknowledge them; no more are made then.
pub const CALL_ITEMS_KEPT: u64 = 1_024;
/// Replies that a host keeps for one caller that does not acknowledge them, beyond its window; further calls end as
/// `MAILBOX_FULL`.
pub const REPLIES_KEPT: usize = 16_384;
/// Replies to an actor's own calls that one actor keeps for it, until it wants a checkpoint after which they can go.
pub const OWN_CALLS_KEPT: u64 = 2_048;
/// Bytes of such replies, likewise: they take up room in the mailbox of the actor that keeps them.
pub const OWN_CALLS_KEPT_BYTES: u64 = 16 << 20;
/// Actors that one actor with a call log may call; each is part of its checkpoints.
pub const CALLEES: usize = 4_096;
/// How long a caller is remembered that went away, where its actor does not say.
pub const CALLER_TTL: Span = Span::secs(600);
/// How long the streaming calls of a caller that went away wait for it, as long as its session does unless it asked otherwise.
/// Then they are cancelled; those in a call log go on.
pub const ITEMS_CALLER_WAIT: Span = SESSION_TTL;
/// How long the log of an actor is not played on because the items of a streaming call find no caller that takes them.
pub const REPLAY_CALLER_WAIT: Span = Span::secs(30);
/// Wishes for the same checkpoint; a further one is answered with an error.
pub const CHECKPOINT_ASKERS: usize = 64;
/// Pause after a checkpoint that could not be made; it doubles with each.
pub const CHECKPOINT_RETRY: Span = Span::secs(1);
/// The longest of these pauses.
pub const CHECKPOINT_RETRY_MAX: Span = Span::secs(60);
/// Checkpoints that fail one after the other while a reply waits for one, before the incarnation ends.
pub const CHECKPOINT_TRIES: u32 = 5;
/// Length of a call log at which a checkpoint is made in any case, in bytes.
pub const CALL_LOG_BYTES: u64 = 1 << 30;
/// How often a worker asks again for the arguments of a call that nobody is known to have.
pub const GATHER_RETRY: Span = Span::secs(1);
/// How long a call waits for its arguments before it ends without having run.
pub const GATHER_WAIT: Span = Span::secs(600);
/// Words of callers that travel together, so that the first of many calls run while later ones are read.
pub const CALL_BATCH: usize = 256;
/// Bytes of replies that wait to be read on one stream of calls. What is beyond is said again when those are read.
pub const CALL_STREAM_BYTES: usize = 4 << 20;
/// Conversations on one stream of calls.
pub const CALL_OPENS: usize = 65_536;
/// How long a process may take, at least, to say of a cancelled call that it had not begun, where nobody sees whether it had.
pub const CALL_CANCEL_HEARD: Span = Span::secs(2);
/// How often the memory of an actor's process is looked at.
pub const ACTOR_WEIGHED: Span = Span::millis(250);
/// How long an actor's process may take to drop it, before it is killed; where others live in it, it goes on without the actor.
pub const ACTOR_DROP: Span = Span::secs(2);
/// How long after its last change the log of an actor is kept that no incarnation holds: longer than its worker is waited for.
pub const ACTOR_LOG_KEPT: Span = Span::secs(3_600);
/// Bytes of such logs on one machine, below one directory; beyond it the oldest go sooner.
pub const ACTOR_LOGS_LEFT_BYTES: u64 = 16 << 30;
/// How long whoever opens a log waits for somebody who looks whether it is of use, before it gives up: a look takes a moment, and
/// what stalls it stalls the log too.
pub const ACTOR_LOG_GATE: Span = Span::secs(20);
/// How long it then waits for another incarnation to let go of the log. Whoever has let go of it already takes a moment where a
/// process was just being started.
pub const ACTOR_LOG_LOCK: Span = Span::secs(10);
/// Other workers that keep copies of the log and the checkpoint of one actor, at most.
pub const ACTOR_PEERS: u32 = 3;
/// How long one of them may be silent while something is to be kept, before it is left out.
pub const COPY_WAIT: Span = Span::secs(5);
/// How long after it was left out a worker may be chosen for the same actor again.
pub const COPY_RETRY: Span = Span::secs(10);
/// Bytes of call log that wait for one copy, at most; one that is further behind is left out.
pub const COPY_BYTES: usize = 64 << 20;
/// Actors that keep fewer copies than they are to and are looked at in one step of the scheduler.
pub const COPIES_LOOKED_AT: usize = 256;
/// How often a worker looks for such logs, besides when it starts.
pub const ACTOR_LOGS_SWEPT: Span = Span::secs(600);
/// How long after a call's deadline its host's word of it is still waited for, where the call was made without a stream.
pub const LATE_ANSWER: Span = Span::millis(500);
/// Results of calls without a stream that a worker keeps for those who made them, because they are too large for a reply. The
/// oldest go first.
pub const SINGLE_RESULTS: usize = 1_024;
/// Bytes of them together; the last one is kept even if it is larger.
pub const SINGLE_RESULTS_BYTES: u64 = 1 << 30;
/// How long they are kept.
pub const SINGLE_RESULT_KEPT: Span = Span::secs(60);
/// Processes of actors of one worker.
pub const ACTOR_PROCESSES: usize = 1_024;

/// Linear memory of a WebAssembly module, in bytes, where neither payload nor class says.
pub const WASM_MEMORY_BYTES: u64 = 256 << 20;
/// Stack of a WebAssembly module, in bytes.
pub const WASM_STACK_BYTES: usize = 512 << 10;
/// Compiled WebAssembly modules that a worker keeps. The one used longest ago goes first.
pub const WASM_MODULES: usize = 64;
