//! The names by which clients in any language tell refusals and failures apart. Append-only: a name never changes its meaning.

macro_rules! reasons {
    ($($variant:ident $name:literal $code:literal $meaning:literal => $remedy:literal)*) => {
        /// Why something was refused or failed.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Reason {
            $(#[doc = $meaning] $variant,)*
        }

        /// Every reason, in the order of the reference page.
        pub const ALL: &[Reason] = &[$(Reason::$variant,)*];

        impl Reason {
            /// The stable name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The gRPC status code that goes with it, where a call ends with it.
            pub fn grpc_code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// What it means, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// What to do about it, in one sentence.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)* }
            }
        }
    };
}

reasons! {
    Unauthenticated "UNAUTHENTICATED" "UNAUTHENTICATED"
        "The call carries no token, or one that this cluster did not issue."
        => "Send `authorization: Bearer TOKEN`; the scheduler's access file holds the token."
    RoleMissing "ROLE_MISSING" "PERMISSION_DENIED"
        "The token does not grant the role that the method asks for."
        => "Ask an administrator of the cluster for a token with that role."
    ProtocolVersion "PROTOCOL_VERSION" "FAILED_PRECONDITION"
        "The peers have no protocol version in common."
        => "Bring both to versions at most one apart."
    FeatureMissing "FEATURE_MISSING" "FAILED_PRECONDITION"
        "A peer requires a feature that the other does not have."
        => "Bring the peer without the feature up to date, or do without it."
    WrongCluster "WRONG_CLUSTER" "FAILED_PRECONDITION"
        "The peer belongs to another cluster."
        => "Check the address; remove the state directory if the old cluster is gone for good."
    HelloExpected "HELLO_EXPECTED" "INVALID_ARGUMENT"
        "The stream did not begin with a hello."
        => "Send `hello` and what belongs to it in the first message of the stream."
    Malformed "MALFORMED" "INVALID_ARGUMENT"
        "A message cannot be decoded, or a field that must be there is missing or absurd."
        => "Correct the field named."
    Unsupported "UNSUPPORTED" "UNIMPLEMENTED"
        "A command, field or value is not known to this version."
        => "Bring the peer up to date, or leave the command out."
    MessageTooLarge "MESSAGE_TOO_LARGE" "RESOURCE_EXHAUSTED"
        "A message is longer than the receiver's limit."
        => "Send smaller batches; send large values by reference."
    Busy "BUSY" "UNAVAILABLE"
        "The daemon is at a limit on sessions, workers or open calls."
        => "Try again later."
    ShuttingDown "SHUTTING_DOWN" "UNAVAILABLE"
        "The daemon is about to end."
        => "Connect again when it is back."
    Superseded "SUPERSEDED" "ABORTED"
        "A newer connection of the same session or worker has taken the place of this one."
        => "Nothing, if it was you; otherwise give each peer its own token or state directory."

    SessionUnknown "SESSION_UNKNOWN" "NOT_FOUND"
        "There is no such session, or its time ran out."
        => "Open a new session."
    SessionHeld "SESSION_HELD" "FAILED_PRECONDITION"
        "A client has the session of this name, or several sessions have the name."
        => "End that client, or come back with the session's ticket, which takes the session over."
    WorkerUnknown "WORKER_UNKNOWN" "NOT_FOUND"
        "There is no such worker."
        => "`bireme workers` lists those there are."
    WorkerNameTaken "WORKER_NAME_TAKEN" "ALREADY_EXISTS"
        "Another live worker has this name."
        => "Start the worker with another `--name`."
    GraphUnknown "GRAPH_UNKNOWN" "NOT_FOUND"
        "There is no such graph, or it was forgotten."
        => "`bireme graph list` lists those there are."
    TaskUnknown "TASK_UNKNOWN" "NOT_FOUND"
        "The graph has no such task."
        => "`bireme tasks` lists the tasks of a graph."
    ObjectUnknown "OBJECT_UNKNOWN" "NOT_FOUND"
        "There is no such object, or it was released."
        => "Keep the output when submitting the graph."
    BlobUnknown "BLOB_UNKNOWN" "NOT_FOUND"
        "No blob with this digest was uploaded."
        => "Upload it with `Store.PutBlob` first."
    ReplicaChanged "REPLICA_CHANGED" "ABORTED"
        "The value was made again by another attempt since its transfer began."
        => "Fetch it again from its first byte."
    DigestMismatch "DIGEST_MISMATCH" "DATA_LOSS"
        "Bytes arrived that have another digest than was announced."
        => "Send them again; check the sender's memory and disk if it happens often."

    GraphNumber "GRAPH_NUMBER" "INVALID_ARGUMENT"
        "The graph's number does not belong to the session, or was used before."
        => "Put the session's number in the upper 32 bits and count up in the lower."
    GraphClosed "GRAPH_CLOSED" "FAILED_PRECONDITION"
        "The graph takes no further chunks: its last one has come, or it was cancelled or failed."
        => "Submit a new graph."
    ChunkOrder "CHUNK_ORDER" "FAILED_PRECONDITION"
        "A chunk does not begin where the one before it ended."
        => "Send the chunks of a graph in order."
    GraphTooLarge "GRAPH_TOO_LARGE" "RESOURCE_EXHAUSTED"
        "A graph or chunk has more tasks, classes, inputs or outputs than the limit."
        => "Split the graph, or combine tasks."
    TooManyTasks "TOO_MANY_TASKS" "RESOURCE_EXHAUSTED"
        "The scheduler holds as many unfinished tasks as it can."
        => "Wait until some have finished."
    KeyDuplicate "KEY_DUPLICATE" "ALREADY_EXISTS"
        "Two tasks of one graph have the same key."
        => "Give each task of a graph its own key."
    KeyConflict "KEY_CONFLICT" "ALREADY_EXISTS"
        "A key of the namespace's open graph is taken by another computation."
        => "Use another key, or release the old task first."
    KeyInvalid "KEY_INVALID" "INVALID_ARGUMENT"
        "A key is too long or contains control characters."
        => "Use at most 1,024 bytes of printable text."
    DependencyUnknown "DEPENDENCY_UNKNOWN" "INVALID_ARGUMENT"
        "A task depends on one that is neither in its chunk nor in an earlier one."
        => "Submit the dependency in the same chunk or before."
    DependencySelf "DEPENDENCY_SELF" "INVALID_ARGUMENT"
        "A task depends on itself."
        => "Remove the dependency."
    GraphCycle "GRAPH_CYCLE" "INVALID_ARGUMENT"
        "Tasks depend on each other in a circle."
        => "Break the circle; the task named is on it."
    OutputUnknown "OUTPUT_UNKNOWN" "INVALID_ARGUMENT"
        "A task takes an output that its dependency does not have."
        => "Declare enough outputs in the dependency's class."
    ClassUnknown "CLASS_UNKNOWN" "INVALID_ARGUMENT"
        "A task names a class that its graph does not have."
        => "Send the class in the same chunk or before."
    PayloadTooLarge "PAYLOAD_TOO_LARGE" "INVALID_ARGUMENT"
        "A payload is larger than the limit."
        => "Put large arguments into the store and refer to them."
    ValueTooLarge "VALUE_TOO_LARGE" "RESOURCE_EXHAUSTED"
        "A value is larger than the limit."
        => "Split the value."
    ResourceInvalid "RESOURCE_INVALID" "INVALID_ARGUMENT"
        "A set of resources names one twice, or by a name that cannot be."
        => "Name each resource once, with letters, digits, `_`, `-` and `.`."

    NoWorker "NO_WORKER" "FAILED_PRECONDITION"
        "No worker can run the task: none has the resources, labels, name or function it asks for."
        => "`bireme task explain` says what each worker lacks."
    FunctionUnknown "FUNCTION_UNKNOWN" "NOT_FOUND"
        "The worker has no function of this name."
        => "Register it in the worker's binary, or correct the name; the message lists the nearest."
    CommandMissing "COMMAND_MISSING" "NOT_FOUND"
        "The program of a command task cannot be started."
        => "Install it on the workers, or give its full path."
    RuntimeUnknown "RUNTIME_UNKNOWN" "NOT_FOUND"
        "The worker has no executor for the payload."
        => "Start workers that have it: `bireme-worker --runtime NAME=COMMAND`."
    RuntimeBroken "RUNTIME_BROKEN" "FAILED_PRECONDITION"
        "The executor of the payload's runtime cannot be started, or does not come back to its worker."
        => "Run the command that the error names on the worker's machine; its last lines say why it ends."
    EnvironmentBroken "ENVIRONMENT_BROKEN" "FAILED_PRECONDITION"
        "The environment that the task asks for cannot be built on the worker."
        => "Read the last lines, which are those of the builder: correct the requirements, pack the archive again, or let the worker reach the package index."
    CodecMismatch "CODEC_MISMATCH" "FAILED_PRECONDITION"
        "A value's codec is not one that its reader knows."
        => "Produce the value with a codec that both know: the message names both sides."
    UserError "USER_ERROR" "UNKNOWN"
        "The user's code returned or raised an error."
        => "Read the message, the traceback and the log of the attempt."
    UserPanic "USER_PANIC" "UNKNOWN"
        "The user's code panicked."
        => "Read the message and the log of the attempt."
    CommandFailed "COMMAND_FAILED" "UNKNOWN"
        "A command ended with an exit code that does not count as success."
        => "Read the last lines and the log of the attempt."
    ProcessDied "PROCESS_DIED" "UNKNOWN"
        "The process that ran the attempt died."
        => "The error names the exit code or signal and the last lines printed."
    OutOfMemory "OUT_OF_MEMORY" "RESOURCE_EXHAUSTED"
        "The attempt passed its memory limit."
        => "Ask for more memory in the task's resources, or split the work."
    TimedOut "TIMED_OUT" "DEADLINE_EXCEEDED"
        "The attempt ran longer than its timeout."
        => "Raise the timeout, or split the work."
    Cancelled "CANCELLED" "CANCELLED"
        "Somebody cancelled the task or its graph."
        => "Retry the task if that was a mistake."
    DependencyFailed "DEPENDENCY_FAILED" "FAILED_PRECONDITION"
        "A task that this one needs failed; the cause is its error."
        => "Mend the cause and retry."
    TooManyFailures "TOO_MANY_FAILURES" "ABORTED"
        "More tasks of the graph failed than it allows; the rest was cancelled."
        => "Mend the failures, or allow more of them."
    WorkerLost "WORKER_LOST" "UNAVAILABLE"
        "The worker was lost while the attempt may have run, and the task may not be run again."
        => "Look at the worker's log; allow a rerun if the task may run twice."
    CrashedTooOften "CRASHED_TOO_OFTEN" "ABORTED"
        "The task was running each time when several workers or processes died."
        => "The task is the likely cause: run it alone and look at its log."
    InputLost "INPUT_LOST" "DATA_LOSS"
        "An input is gone with its last replica and cannot be made again."
        => "Put the value again."
    StoreFull "STORE_FULL" "RESOURCE_EXHAUSTED"
        "The worker has no room for a value, neither in memory nor on disk."
        => "Release values, add workers, or give the worker a larger spill directory."
    OtherMachine "OTHER_MACHINE" "FAILED_PRECONDITION"
        "Files in shared memory were asked for from another machine than the worker's."
        => "Fetch the value, or put it, over the network."
    ActorUnknown "ACTOR_UNKNOWN" "NOT_FOUND"
        "There is no such actor, or it ended and was forgotten."
        => "`bireme actor list` lists those there are."
    NameTaken "NAME_TAKEN" "ALREADY_EXISTS"
        "Another actor of the namespace has this name."
        => "Find that one, ask with `get_if_exists`, or choose another name."
    ActorGone "ACTOR_GONE" "FAILED_PRECONDITION"
        "The actor has ended for good."
        => "Read the cause, and create it anew."
    ActorExited "ACTOR_EXITED" "FAILED_PRECONDITION"
        "The actor ended itself."
        => "Create it anew if that was too early."
    ActorKilled "ACTOR_KILLED" "ABORTED"
        "Somebody ended the actor, or the session that made it is over, or has let its handle go."
        => "Create it anew; `detached` lets it outlive its session."
    RestartsExhausted "RESTARTS_EXHAUSTED" "ABORTED"
        "The actor was lost more often than it may be started again."
        => "Look at how its incarnations ended; `max_restarts` allows more."
    StateLost "STATE_LOST" "DATA_LOSS"
        "The worker that has the log and the checkpoint of the actor did not come back in time."
        => "Start that worker again with the same state directory, sooner."
    WouldDeadlock "WOULD_DEADLOCK" "FAILED_PRECONDITION"
        "Waiting would never end: what is waited for needs what the waiter holds."
        => "The message names the chain; break it."
}

impl Reason {
    /// The reason of this name; `None` if this version knows none.
    pub fn from_name(name: &str) -> Option<Self> {
        ALL.iter().copied().find(|reason| reason.name() == name)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A command that was not carried out.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// Path of the field that was wrong, as the `.proto` file spells it; empty where it is not one field.
    pub field: String,
    /// One line for people: the value and the remedy.
    pub message: String,
}

impl Refusal {
    /// A refusal that is about one field.
    pub fn at(reason: Reason, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason, field: field.into(), message: message.into() }
    }

    /// A refusal that is about no field in particular.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self::at(reason, "", message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_in_capitals() {
        for (at, reason) in ALL.iter().enumerate() {
            assert!(
                reason.name().bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'),
                "{reason}"
            );
            assert!(
                ALL[at + 1..].iter().all(|other| other.name() != reason.name()),
                "{reason} twice"
            );
            assert_eq!(Reason::from_name(reason.name()), Some(*reason));
            assert!(reason.meaning().ends_with('.') && reason.remedy().ends_with('.'), "{reason}");
        }
    }
}
