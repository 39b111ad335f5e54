//! The one map between refusals and `tonic::Status`.
//!
//! A call or stream that ends with a refusal carries `google.rpc.Status` in `grpc-status-details-bin`, with an `ErrorInfo`:
//! clients of any language switch on its `reason`.

use bireme_core::error::cut;
use bireme_core::limits;
use bireme_core::reason::{Reason, Refusal};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::convert::common;

/// What stands in `ErrorInfo.domain`.
pub const DOMAIN: &str = "bireme";
/// The key of `ErrorInfo.metadata` under which the path of a wrong field stands.
pub const FIELD: &str = "field";

/// The status that tells of a refusal.
pub fn status(refusal: Refusal) -> Status {
    let Refusal { reason, field, mut message } = refusal;
    cut(&mut message, limits::STATUS_MESSAGE_BYTES);
    let mut details = ErrorDetails::new();
    if field.is_empty() {
        details.set_error_info(reason.name(), DOMAIN, []);
    } else {
        details.set_error_info(reason.name(), DOMAIN, [(FIELD.to_owned(), field)]);
    }
    Status::with_error_details(code(reason), message, details)
}

/// The refusal that a status tells of; `None` where it is not one of ours: the transport failed, or a proxy answered.
pub fn refusal(status: &Status) -> Option<Refusal> {
    let mut info = status.get_details_error_info().filter(|info| info.domain == DOMAIN)?;
    let field = info.metadata.remove(FIELD).unwrap_or_default();
    Some(common::refusal(&info.reason, field, status.message().to_owned()))
}

/// The gRPC code that goes with a reason.
fn code(reason: Reason) -> Code {
    match reason.grpc_code() {
        "ABORTED" => Code::Aborted,
        "ALREADY_EXISTS" => Code::AlreadyExists,
        "CANCELLED" => Code::Cancelled,
        "DATA_LOSS" => Code::DataLoss,
        "DEADLINE_EXCEEDED" => Code::DeadlineExceeded,
        "FAILED_PRECONDITION" => Code::FailedPrecondition,
        "INVALID_ARGUMENT" => Code::InvalidArgument,
        "NOT_FOUND" => Code::NotFound,
        "PERMISSION_DENIED" => Code::PermissionDenied,
        "RESOURCE_EXHAUSTED" => Code::ResourceExhausted,
        "UNAUTHENTICATED" => Code::Unauthenticated,
        "UNAVAILABLE" => Code::Unavailable,
        "UNIMPLEMENTED" => Code::Unimplemented,
        _ => Code::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use bireme_core::reason::ALL;

    use super::*;

    #[test]
    fn every_reason_survives_the_way_there_and_back() {
        for &reason in ALL {
            let sent = Refusal::at(reason, "chunk.tasks[3].class", "task 3 names class 7 of 2");
            let status = status(sent.clone());
            assert_eq!(refusal(&status), Some(sent));
            let is_unknown = status.code() == Code::Unknown;
            assert_eq!(is_unknown, reason.grpc_code() == "UNKNOWN", "{reason}");
        }
    }

    #[test]
    fn a_refusal_about_no_field_names_none() {
        let sent = Refusal::new(Reason::Busy, "4096 sessions, the limit is 4096");
        let status = status(sent.clone());
        assert!(status.get_details_error_info().unwrap().metadata.is_empty());
        assert_eq!(refusal(&status), Some(sent));
    }

    #[test]
    fn a_reason_of_a_later_version_keeps_its_name_in_the_message() {
        let mut details = ErrorDetails::new();
        details.set_error_info("MOON_PHASE", DOMAIN, [(FIELD.to_owned(), "moon".to_owned())]);
        let status = Status::with_error_details(Code::Aborted, "not tonight", details);
        let expected = Refusal::at(Reason::Unsupported, "moon", "MOON_PHASE: not tonight");
        assert_eq!(refusal(&status), Some(expected));
    }

    #[test]
    fn what_others_say_is_no_refusal() {
        assert_eq!(refusal(&Status::unavailable("connection refused")), None);
        let mut details = ErrorDetails::new();
        details.set_error_info("BUSY", "proxy.example", []);
        let status = Status::with_error_details(Code::Unavailable, "later", details);
        assert_eq!(refusal(&status), None);
    }

    #[test]
    fn a_long_message_is_cut_to_fit_into_headers() {
        let status = status(Refusal::new(Reason::KeyInvalid, "\u{e9}".repeat(1 << 16)));
        assert!(status.message().len() <= limits::STATUS_MESSAGE_BYTES);
        assert!(status.message().ends_with("[cut]"));
    }
}
