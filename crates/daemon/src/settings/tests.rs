//! Which layer wins, and what each mistake is called.

use std::ffi::OsString;

use clap::{CommandFactory, Parser};
use expect_test::{Expect, expect};

use super::*;

#[derive(Debug, Parser)]
#[command(name = "bireme-worker")]
struct Worker {
    /// Address to listen on.
    #[arg(long, env = "BIREME_LISTEN", default_value = "127.0.0.1:0")]
    listen: std::net::SocketAddr,
    /// Cpus to offer.
    #[arg(long, env = "BIREME_CPUS")]
    cpus: Option<u32>,
    /// Labels.
    #[arg(long, env = "BIREME_LABEL", value_delimiter = ',')]
    label: Vec<String>,
    /// Must be somewhere.
    #[arg(long, env = "BIREME_NAME")]
    name: String,
    /// Nobody sees it.
    #[arg(long, env = "BIREME_SECRET", hide_env_values = true)]
    secret: Option<String>,
    #[command(flatten)]
    common: crate::Common,
}

fn settled(argv: &str, env: &[(&str, &str)]) -> Result<Resolved<Worker>, SettingsError> {
    let argv = std::iter::once("bireme-worker").chain(argv.split_whitespace());
    let env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    resolve("worker", argv.map(OsString::from), env)
}

/// Settles with a configuration file and shows what is not a default, or the error. The file is shown as `FILE`.
fn check(argv: &str, env: &[(&str, &str)], file: &str, expected: Expect) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bireme.toml");
    std::fs::write(&path, file).unwrap();
    let path = path.to_str().unwrap();
    let shown = match settled(&format!("--config {path} {argv}"), env) {
        Ok(mut resolved) => {
            resolved.settings.retain(|setting| setting.origin != Origin::Default);
            let given = |Setting { key, value, origin }| format!("{key} {value:?} {origin}");
            resolved.settings.into_iter().map(given).collect::<Vec<_>>().join("\n")
        }
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&shown.replace(path, "FILE"));
}

/// Settles with a file that is at fault.
fn refused(file: &str, expected: Expect) {
    check("--name n", &[], file, expected);
}

#[test]
fn each_layer_beats_those_below() {
    let file = "[worker]\nname = 'file'\ncpus = 3\nlabel = ['a=1', 'b=2']\nlisten = '127.0.0.1:3'\ninsecure = true\n";
    let env = [
        ("BIREME_NAME", "variable"),
        ("BIREME_CPUS", "2"),
        ("BIREME_SECRET", "hush"),
        ("BIREME_LOG", ""),
    ];
    check(
        "--name flag",
        &env,
        file,
        expect![[r#"
            listen Some("127.0.0.1:3") FILE
            cpus Some("2") BIREME_CPUS
            label Some("a=1,b=2") FILE
            name Some("flag") flag
            secret Some("(hidden)") BIREME_SECRET
            insecure Some("true") FILE
            config Some("FILE") flag"#]],
    );
}

#[test]
fn the_table_is_aligned() {
    let settings = vec![
        Setting { key: "listen".into(), value: Some("[::1]:9700".into()), origin: Origin::Flag },
        Setting { key: "cpus".into(), value: None, origin: Origin::Default },
        Setting {
            key: "access-file".into(),
            value: Some("/run/a".into()),
            origin: Origin::Variable("BIREME_ACCESS_FILE".into()),
        },
    ];
    expect![[r"
        listen       [::1]:9700  flag
        cpus         -           default
        access-file  /run/a      BIREME_ACCESS_FILE
    "]]
    .assert_eq(&Resolved { args: (), settings }.to_string());
}

#[test]
fn what_one_layer_leaves_open_another_may_require() {
    assert_eq!(settled("", &[("BIREME_NAME", "n")]).unwrap().args.name, "n");
    check(
        "",
        &[],
        "[worker]\nname = 'n'",
        expect![[r#"
            name Some("n") FILE
            config Some("FILE") flag"#]],
    );
    let missing = settled("", &[]).unwrap_err();
    assert!(missing.to_string().contains("--name"), "{missing}");
}

#[test]
fn switches_are_words_in_variables() {
    for (word, on) in
        [("1", true), ("true", true), ("Yes", true), ("0", false), ("off", false), ("", false)]
    {
        let resolved = settled("--name n", &[("BIREME_INSECURE", word)]).unwrap();
        assert_eq!(resolved.args.common.insecure, on, "{word}");
    }
    let error = settled("--name n", &[("BIREME_INSECURE", "maybe")]).unwrap_err();
    assert_eq!(error.to_string(), "BIREME_INSECURE: expected true or false, found `maybe`");
}

#[test]
fn lists_in_variables_are_separated_by_commas() {
    let resolved = settled("--name n", &[("BIREME_LABEL", "a=1,b=2")]).unwrap();
    assert_eq!(resolved.args.label, ["a=1", "b=2"]);
}

#[test]
fn a_value_the_flag_would_refuse_is_refused_by_name() {
    let error = settled("--name n", &[("BIREME_CPUS", "many")]).unwrap_err();
    expect!["BIREME_CPUS: invalid value 'many' for '--cpus <CPUS>': invalid digit found in string"]
        .assert_eq(&error.to_string());
    refused(
        "[worker]\ncpus = 'many'",
        expect![
            "FILE: worker.cpus: invalid value 'many' for '--cpus <CPUS>': invalid digit found in string"
        ],
    );
    refused(
        "[worker]\nlog-format = 'xml'",
        expect![
            "FILE: worker.log-format: invalid value 'xml' for '--log-format <FORMAT>' [possible values: text, json, journald]"
        ],
    );
    refused(
        "[worker]\ncpus = [1, 2]",
        expect!["FILE: worker.cpus: expected one value, found a list"],
    );
    refused(
        "[worker]\ninsecure = 'yes'",
        expect!["FILE: worker.insecure: expected true or false, found a string"],
    );
    refused(
        "[worker]\nlog = 'loud'",
        expect![
            "FILE: worker.log: invalid value 'loud' for '--log <LEVEL>': `loud` is no level: write off, error, warn, info, debug, trace, or TARGET=LEVEL"
        ],
    );
    refused(
        "worker = 3",
        expect!["FILE: worker: expected a table, `[worker]`, found a whole number"],
    );
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known() {
    refused(
        "[worker]\nlisten-on = '127.0.0.1:1'",
        expect!["FILE: unknown key `worker.listen-on`; did you mean `listen`?"],
    );
    refused("[workers]\ncpus = 1", expect!["FILE: unknown key `workers`; did you mean `worker`?"]);
    refused(
        "[worker]\nconfig = 'other.toml'",
        expect![
            "FILE: unknown key `worker.config`; known are listen, cpus, label, name, secret, access-file, token-file, insecure, log, log-format"
        ],
    );
}

#[test]
fn the_tables_of_other_programs_are_theirs() {
    check(
        "--name n",
        &[],
        "[scheduler]\nwhatever = 1",
        expect![[r#"
            name Some("n") flag
            config Some("FILE") flag"#]],
    );
}

#[test]
fn a_broken_file_is_refused_by_place() {
    refused(
        "[worker]\ncpus = = 1",
        expect![[r"
            FILE: TOML parse error at line 2, column 8
              |
            2 | cpus = = 1
              |        ^
            extra `=`, expected nothing
        "]],
    );
    let error = settled("--name n --config /nonexistent/bireme.toml", &[]).unwrap_err();
    expect!["cannot read /nonexistent/bireme.toml: No such file or directory (os error 2)"]
        .assert_eq(&error.to_string());
}

#[test]
fn the_variable_may_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bireme.toml");
    std::fs::write(&path, "[worker]\nname = 'n'\ncpus = 5\n").unwrap();
    let resolved = settled("", &[("BIREME_CONFIG", path.to_str().unwrap())]).unwrap();
    assert_eq!(resolved.args.cpus, Some(5));
}

#[test]
fn faults_of_the_command_line_are_claps_to_tell() {
    let wrong = settled("--name n --cups 3", &[("BIREME_CPUS", "2")]).unwrap_err();
    assert!(matches!(&wrong, SettingsError::Usage(error) if error.use_stderr()), "{wrong}");
    let help = settled("--help", &[("BIREME_CPUS", "many")]).unwrap_err();
    assert!(matches!(&help, SettingsError::Usage(error) if !error.use_stderr()), "{help}");
    assert!(help.to_string().contains("BIREME_CPUS"), "{help}");
}

#[test]
fn the_common_flags_pass_the_audit() {
    assert_eq!(audit(&Worker::command()), [""; 0]);
}

#[test]
fn the_audit_finds_what_is_missing() {
    #[derive(Parser)]
    struct Bad {
        #[arg(long, env = "BIREME_OTHER")]
        naked: Option<String>,
        /// A list.
        #[arg(long, env = "BIREME_LIST")]
        list: Vec<String>,
    }
    expect![[r"
        --naked lacks the variable BIREME_NAKED
        --naked lacks a help text
        --list is a list without `value_delimiter`: its variable holds one value"]]
    .assert_eq(&audit(&Bad::command()).join("\n"));
}
