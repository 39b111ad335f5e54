//! Golden files: for every message of the protocol, bytes that some release has sent, and what they mean.
//!
//! What is committed must be read for ever: if a change makes old bytes mean something else, the first test fails, and the
//! change is wrong. When messages grow, the second fails; `BIREME_BLESS=1 cargo test -p bireme-proto --test golden`
//! writes the files anew.

#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]

mod fill;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

use bireme_proto::{DESCRIPTOR_SET, pb};
use prost::Message as _;
use prost_reflect::text_format::FormatOptions;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

use crate::fill::Arms;

/// Bytes to a line of a golden file.
const LINE: usize = 40;

fn messages() -> Vec<MessageDescriptor> {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
    let ours = |message: &MessageDescriptor| {
        message.package_name() == "bireme.v1" && !message.is_map_entry()
    };
    pool.all_messages().filter(ours).collect()
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn path(message: &MessageDescriptor) -> PathBuf {
    let name = message.full_name().strip_prefix("bireme.v1.").unwrap();
    directory().join(format!("{name}.txt"))
}

/// The form of a golden file: for each instance its bytes in hexadecimal, then indented what they mean.
fn render(instances: &[DynamicMessage]) -> String {
    let mut text = String::new();
    for instance in instances {
        for line in instance.encode_to_vec().chunks(LINE) {
            for byte in line {
                write!(text, "{byte:02x}").unwrap();
            }
            text.push('\n');
        }
        let meaning = instance.to_text_format_with_options(&FormatOptions::new().pretty(true));
        for line in meaning.lines() {
            writeln!(text, "  {line}").unwrap();
        }
        text.push('\n');
    }
    text
}

/// Reads the bytes of each instance of a golden file.
fn bytes(text: &str) -> Vec<Vec<u8>> {
    let instances = text.split_terminator("\n\n");
    instances
        .map(|instance| {
            let hex: String = instance.lines().take_while(|line| !line.starts_with(' ')).collect();
            let digits =
                (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
            digits.collect::<Result<_, _>>().unwrap()
        })
        .collect()
}

/// Reads what is committed and says again what it means.
fn check_old_bytes(message: &MessageDescriptor) {
    let path = path(message);
    let Ok(text) = fs::read_to_string(&path) else { return };
    let decoded: Vec<_> = bytes(&text)
        .iter()
        .map(|bytes| DynamicMessage::decode(message.clone(), bytes.as_slice()).unwrap())
        .collect();
    assert!(!decoded.is_empty(), "{}", path.display());
    assert_eq!(render(&decoded), text, "{}", path.display());
}

#[test]
fn old_bytes_mean_what_they_meant() {
    messages().iter().for_each(check_old_bytes);
}

#[test]
fn every_message_has_a_current_golden_file() {
    let bless = env::var_os("BIREME_BLESS").is_some();
    let mut expected = BTreeSet::new();
    for message in messages() {
        let path = path(&message);
        let text = render(&fill::instances(&message, Arms::OfThisMessage));
        if bless {
            check_old_bytes(&message);
            fs::write(&path, &text).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(committed, text, "{}: see the top of this test", path.display());
        expected.insert(path);
    }
    for entry in fs::read_dir(directory()).unwrap() {
        let path = entry.unwrap().path();
        assert!(expected.contains(&path), "{}: no such message", path.display());
    }
}

/// Takes every instance of a message through its Rust type.
fn round_trip<M: prost::Message + Default>(message: &MessageDescriptor) {
    for instance in fill::instances(message, Arms::Everywhere) {
        let sent = instance.encode_to_vec();
        let read = M::decode(sent.as_slice()).unwrap();
        let back = DynamicMessage::decode(message.clone(), read.encode_to_vec().as_slice());
        // Not by bytes: an encoder may order fields as it likes.
        assert_eq!(back.unwrap(), instance, "{}", message.full_name());
    }
}

/// Whatever travels on its own: what methods take and give, and what is encoded inside other messages.
macro_rules! travellers {
    ($($name:ident)*) => {
        const TRAVELLERS: &[(&str, fn(&MessageDescriptor))] =
            &[$((concat!("bireme.v1.", stringify!($name)), round_trip::<pb::$name>),)*];
    };
}

travellers! {
    ActorStatus AllocatePoolRequest AllocatePoolResponse CallArguments CallRequest CallResponse CallerBatch CancelGraphRequest
    CancelGraphResponse CancelTasksRequest CancelTasksResponse CheckpointActorRequest CheckpointActorResponse
    CloseSessionRequest CloseSessionResponse CopyBatch CopyKept CreateActorRequest CreateActorResponse DescribeActorRequest
    DrainWorkerRequest DrainWorkerResponse ExecutorDown ExecutorUp ExplainTaskRequest ExplainTaskResponse
    FetchBlobRequest FetchBlobResponse FetchRequest FetchResponse FleetDown FleetUp ForgetGraphRequest
    ForgetGraphResponse GetGraphRequest GetGraphResponse GetLoopStatsRequest GetLoopStatsResponse GetResultRequest
    GetResultResponse GetStatusRequest GetStatusResponse GetTaskRequest GetTaskResponse GetTokenRequest
    GetTokenResponse GetWorkerRequest GetWorkerResponse HasBlobsRequest HasBlobsResponse HostBatch IssueTokenRequest
    IssueTokenResponse KillActorRequest KillActorResponse ListActorsRequest ListActorsResponse ListGraphsRequest
    ListGraphsResponse ListSessionsRequest ListSessionsResponse ListTasksRequest ListTasksResponse
    ListWorkersRequest ListWorkersResponse LocateObjectsRequest LocateObjectsResponse MoveActorRequest
    MoveActorResponse OpenSessionRequest OpenSessionResponse Payload PoolFilesRequest PoolFilesResponse
    PutBlobRequest PutBlobResponse PutObjectsRequest PutObjectsResponse PutRequest PutResponse PutTicketRequest
    PreviousLife PutTicketResponse ReadLogsRequest ReadLogsResponse ReleaseObjectsRequest ReleaseObjectsResponse ReleasePoolRequest ReleasePoolResponse
    ResolveActorRequest ResolveActorResponse RetryTasksRequest RetryTasksResponse SessionDown SessionUp
    ShutdownRequest ShutdownResponse StatRequest StatResponse StopWorkerRequest StopWorkerResponse
    SubmitGraphRequest SubmitGraphResponse TaskLogsRequest TaskLogsResponse TaskStoryRequest TaskStoryResponse
    TicketRequest TicketResponse Value WaitGraphRequest WaitGraphResponse WatchActorsRequest WatchActorsResponse
    WatchGraphRequest WatchGraphResponse WatchWorkersRequest WatchWorkersResponse
}

#[test]
fn generated_types_lose_nothing() {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
    for (name, round_trip) in TRAVELLERS {
        round_trip(&pool.get_message_by_name(name).unwrap());
    }
    let known: BTreeSet<_> = TRAVELLERS.iter().map(|(name, _)| (*name).to_owned()).collect();
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        for message in [method.input(), method.output()] {
            let name = message.full_name();
            assert!(known.contains(name), "{name} is missing in `travellers!`");
        }
    }
}
