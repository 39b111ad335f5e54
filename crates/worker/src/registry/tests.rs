//! Conversions, through the functions that use them.

use bireme_core::id::{AttemptNo, Epoch, GraphId, TaskId};
use bireme_core::{AttemptId, Codec};
use bytes::Bytes;

use super::*;

fn call(registry: &Registry, name: &str, args: &[Arg]) -> Result<Value, Box<TaskError>> {
    let no = AttemptNo { epoch: Epoch(1), n: 1 };
    let attempt = AttemptId { task: TaskId { graph: GraphId(1), index: 0 }, no };
    let stop = Stop::default();
    let mut context = Context::new((attempt, "key"), 1, &stop, &Alone);
    let outputs = registry.find(name)?(&mut context, args)?;
    Ok(outputs.into_iter().next().expect("one output"))
}

fn arg(value: impl IntoValue) -> Arg {
    Arg::Value(Arc::new(value.into_value().unwrap()))
}

fn json(text: &'static str) -> Arg {
    Arg::Value(Arc::new(Value::inline(Codec::Json, text)))
}

#[test]
fn what_goes_in_comes_out() {
    let registry = Registry::default()
        .task("bool", |x: bool| x)
        .task("i64", |x: i64| x)
        .task("u64", |x: u64| x)
        .task("f64", |x: f64| x)
        .task("text", |x: String| x)
        .task("bytes", |x: Bytes| x)
        .task("vec", |x: Vec<u8>| x)
        .task("value", |x: Value| x)
        .task("maybe", |x: Option<i64>| x);
    for (name, value) in [
        ("bool", true.into_value()),
        ("i64", i64::MIN.into_value()),
        ("u64", u64::MAX.into_value()),
        ("f64", 0.5.into_value()),
        ("text", "caf\u{e9}".into_value()),
        ("bytes", vec![0_u8, 255].into_value()),
        ("vec", vec![7_u8].into_value()),
        ("value", ().into_value()),
        ("maybe", ().into_value()),
        ("maybe", 3_i64.into_value()),
    ] {
        let value = value.unwrap();
        let back = call(&registry, name, &[Arg::Value(Arc::new(value.clone()))]);
        assert_eq!(back.as_ref().map(Value::bytes), Ok(value.bytes()), "{name}");
        assert_eq!(back.map(|back| back.codec), Ok(value.codec), "{name}");
    }
}

#[test]
fn json_and_bytes_are_read_where_that_is_safe() {
    let registry = Registry::default()
        .task("add", |a: i32, b: f64| b + f64::from(a))
        .task("text", |context: &mut Context<'_>, text: String| {
            format!("{} {text}", context.key())
        });
    let sum = call(&registry, "add", &[json("2"), json("0.5")]).unwrap();
    assert_eq!(f64::from_arg(&Arg::Value(Arc::new(sum))), Ok(2.5));
    for text in [json("\"x\""), arg("x"), arg(vec![b'x'])] {
        assert_eq!(call(&registry, "text", &[text]).unwrap(), Value::text("key x"));
    }
}

#[test]
fn lists_come_as_structure_or_as_an_array() {
    let registry = Registry::default()
        .task("sum", |items: Vec<i64>| items.iter().sum::<i64>())
        .task("join", |items: Vec<String>| items.concat());
    let list = Arg::List(vec![arg(1_i64), arg(-3_i64)]);
    let array = arg(Msgpack(vec![1_i64, -3]));
    for items in [list, array] {
        let sum = call(&registry, "sum", &[items]).unwrap();
        assert_eq!(i64::from_arg(&Arg::Value(Arc::new(sum))), Ok(-2));
    }
    let many = arg(Msgpack(vec!["ab"; 70_000]));
    assert_eq!(call(&registry, "join", &[many]).unwrap().size, 140_000);
    let cut = Arg::Value(Arc::new(Value::inline(Codec::Msgpack, &[0x92, 0x01][..])));
    assert_eq!(call(&registry, "sum", &[cut]).unwrap_err().reason, "MALFORMED");
}

#[test]
fn a_wrong_argument_names_itself() {
    let registry = Registry::default().task("add", |a: i64, b: i64| a + b);
    let error = call(&registry, "add", &[arg(1_i64), arg("2")]).unwrap_err();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Deserialize, "CODEC_MISMATCH"));
    assert_eq!(error.message, "argument 1: it is utf8, the function reads msgpack or json");
    let error = call(&registry, "add", &[arg(1_i64)]).unwrap_err();
    assert_eq!(error.message, "1 arguments were given, the function takes 2");
}

#[test]
fn an_error_keeps_its_causes_and_a_task_error_its_class() {
    let registry = Registry::default()
        .task("io", || Err::<(), _>(std::io::Error::other(fmt::Error)))
        .task("own", || {
            Err::<(), _>(Box::new(TaskError::new(ErrorClass::Reschedule, "ELSEWHERE", "no")))
        });
    let error = call(&registry, "io", &[]).unwrap_err();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::User, "USER_ERROR"));
    assert_eq!(call(&registry, "own", &[]).unwrap_err().class, ErrorClass::Reschedule);
}

#[test]
fn an_unknown_name_hears_the_nearest() {
    let registry = Registry::default().task("count", || ()).task("merge", || ());
    let error = call(&registry, "cuont", &[]).unwrap_err();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::NotFound, "FUNCTION_UNKNOWN"));
    assert!(error.message.ends_with("the nearest are count, merge"), "{error}");
}

#[test]
#[should_panic(expected = "the function \"a\" is registered twice")]
fn a_name_is_given_once() {
    let _ = Registry::default().task("a", || ()).task("a", || ());
}
