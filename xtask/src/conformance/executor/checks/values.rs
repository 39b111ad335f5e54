//! Arguments and results: their codecs, and where their bytes are.

use anyhow::{Context as _, Result, ensure};
use bireme_core::limits;
use bireme_proto::pb;
use bireme_proto::pb::arg::Kind;
use prost::Message as _;
use serde_json::{Value as Json, json};

use super::attempts::class_is;
use crate::conformance::executor::host::INLINE_BYTES;
use crate::conformance::executor::program::Program;
use crate::conformance::executor::subject::{NO_ROOM, Subject, failed, one};
use crate::conformance::executor::values::{
    bytes_of, data_of, given, in_pool, inline, input, pattern, plain,
};

/// More than fits into a message.
const LARGE_BYTES: usize = 2 * limits::MESSAGE_BYTES;

pub(super) async fn bytes(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    for count in [0, 1, 1_000] {
        let bytes = pattern(count);
        let value = inline(pb::Codec::Raw, bytes.clone());
        let back = subject.value("echo", vec![given(value)]).await?;
        codec_is(&back, pb::Codec::Raw)?;
        let returned = bytes_of(&back, &subject.host.pool())?;
        ensure!(returned == bytes, "{count} bytes come back as {} others", returned.len());
    }
    Ok(())
}

pub(super) async fn text(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    for text in ["", "plain", "Gr\u{fc}\u{df}e, \u{65e5}\u{672c} \u{1f6a3}"] {
        let back = subject.value("echo", vec![given(inline(pb::Codec::Utf8, text))]).await?;
        codec_is(&back, pb::Codec::Utf8)?;
        let returned = data_of(&back, &subject.host.pool())?;
        ensure!(returned == json!(text), "{text:?} comes back as {returned}");
    }
    Ok(())
}

pub(super) async fn plain_data(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let many = [
        json!(true),
        json!(-7),
        json!(5_000_000_000_u64),
        json!(0.25),
        json!([1, "two", [3.5, null, false]]),
        json!({"name": "oar", "of": {"wood": ["ash", "oak"]}}),
    ];
    for data in many {
        echoes(&mut subject, plain(data.clone()), &data).await?;
    }
    Ok(())
}

pub(super) async fn json(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let reads = subject.reads(pb::Codec::Json);
    if !reads {
        return Err(super::LeftOut("attach.codecs lacks CODEC_JSON").into());
    }
    let data = json!({"list": [1, 2.5, "three", null]});
    echoes(&mut subject, inline(pb::Codec::Json, data.to_string()), &data).await
}

async fn echoes(subject: &mut Subject, value: pb::Value, data: &Json) -> Result<()> {
    let back = subject.value("echo", vec![given(value)]).await?;
    let returned = data_of(&back, &subject.host.pool())?;
    ensure!(returned == *data, "{data} comes back as {returned}");
    Ok(())
}

pub(super) async fn nothing(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let none = pb::Value { codec: pb::Codec::None.into(), ..pb::Value::default() };
    let back = subject.value("echo", vec![given(none)]).await?;
    codec_is(&back, pb::Codec::None)?;
    let back = subject.value("print", vec![given(plain("to nobody"))]).await?;
    codec_is(&back, pb::Codec::None)
}

pub(super) async fn unreadable(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let broken = inline(pb::Codec::Msgpack, &b"\x92\x01"[..]);
    let error = subject.failure("echo", vec![given(broken)]).await?;
    class_is(&error, pb::ErrorClass::Deserialize).context("a list that is cut off")?;
    for codec in [pb::Codec::ArrowIpc, pb::Codec::Npy, pb::Codec::Pickle5] {
        if subject.reads(codec) {
            continue;
        }
        let error = subject.failure("echo", vec![given(inline(codec, &b"x"[..]))]).await?;
        let name = codec.as_str_name();
        class_is(&error, pb::ErrorClass::Deserialize).context(name)?;
        let short = name.trim_start_matches("CODEC_");
        let says = error.message.to_uppercase().replace('-', "_").contains(short);
        ensure!(says, "{:?} does not say {short}", error.message);
    }
    subject.still_works().await
}

pub(super) async fn arguments(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let list = vec![input(1), given(plain(5)), input(0), pb::Arg { kind: Some(row()) }];
    let list = pb::Arg { kind: Some(Kind::List(pb::ArgList { items: list })) };
    let name = "list".to_owned();
    let map = vec![pb::NamedArg { name, arg: Some(list) }];
    let map = pb::Arg { kind: Some(Kind::Map(pb::ArgMap { items: map })) };
    let mut run = subject.call("echo", vec![map]);
    run.inputs = vec![plain("first"), plain("second")];
    run.row = plain(9).encode_to_vec().into();
    let value = one(subject.run(run).await?)?;
    let returned = data_of(&value, &subject.host.pool())?;
    let expected = json!({"list": ["second", 5, "first", 9]});
    ensure!(returned == expected, "{expected} comes back as {returned}");
    Ok(())
}

fn row() -> Kind {
    Kind::Row(pb::RowArgument::default())
}

pub(super) async fn input_in_pool(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let pool = subject.host.pool();
    for (n, count) in [1_000, LARGE_BYTES].into_iter().enumerate() {
        let bytes = pattern(count);
        let mut run = subject.call("echo", vec![input(0)]);
        run.inputs = vec![in_pool(&pool, &format!("input-{n}"), pb::Codec::Raw, &bytes)?];
        let value = one(subject.run(run).await?)?;
        let returned = bytes_of(&value, &pool)?;
        ensure!(returned == bytes, "{count} bytes come back as {} others", returned.len());
    }
    Ok(())
}

pub(super) async fn large(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let inline = usize::try_from(INLINE_BYTES)?;
    for count in [inline, inline + 1, LARGE_BYTES] {
        let value = subject.value("bytes", vec![given(plain(count))]).await?;
        let rides = value.buffers.iter().any(|buffer| {
            matches!(&buffer.place, Some(pb::buffer::Place::Inline(bytes)) if bytes.len() > inline)
        });
        ensure!(!rides, "{count} bytes ride in a message, though `inline_bytes` is {inline}");
        let returned = bytes_of(&value, &subject.host.pool())?;
        ensure!(returned == pattern(count), "the {count} bytes are others");
    }
    Ok(())
}

pub(super) async fn no_room(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    subject.has_room = false;
    let run = subject.call("bytes", vec![given(plain(LARGE_BYTES))]);
    let error = failed(subject.run(run).await?)?;
    class_is(&error, pb::ErrorClass::Store)?;
    let (reason, message) = (&error.reason, &error.message);
    ensure!(reason == NO_ROOM.0, "the worker's reason is lost: it is {reason:?}");
    ensure!(message.contains(NO_ROOM.1), "the worker's message is lost: it is {message:?}");
    subject.has_room = true;
    subject.still_works().await
}

fn codec_is(value: &pb::Value, codec: pb::Codec) -> Result<()> {
    let (found, wanted) = (value.codec().as_str_name(), codec.as_str_name());
    ensure!(found == wanted, "the result is {found} instead of {wanted}");
    Ok(())
}
