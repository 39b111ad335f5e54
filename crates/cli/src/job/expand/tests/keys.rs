//! Keys of tables, one by one.

use super::*;

#[test]
fn rows_fill_in_their_fields() {
    let job = |path: &str| {
        format!(
            "[[task]]\nname = \"a\"\nfor_each = {{ rows = \"{path}\" }}\ncommand = [\"x\", \"{{item.n}}\", \"{{item}}\"]"
        )
    };
    check(
        &job("/rows.jsonl"),
        &[],
        expect![[r#"
            0 a[0] [] x 1 {"n":1,"name":"x y"} files= stdin=-
            1 a[1] [] x 2.5 {"n":2.5,"name":"z"} files= stdin=-
            show a [0, 1]
        "#]],
    );
    check(
        &job("/rows.json"),
        &[],
        expect![[r#"
        0 a[0] [] x 1 {"n":1} files= stdin=-
        1 a[1] [] x [2,3] {"n":[2,3]} files= stdin=-
        show a [0, 1]
    "#]],
    );
    let refused = ["/bad.jsonl", "/none", "/nowhere"].map(job);
    check_refused(
        &refused,
        expect![[r#"
            job.toml: [[task]] "a", key `for_each.rows`: `/bad.jsonl`: line 2 is `[2]`; write a JSON object in each line
            job.toml: [[task]] "a", key `for_each.rows`: `/none` has no rows; write one JSON object in each line, or an array
            job.toml: [[task]] "a", key `for_each.rows`: cannot read `/nowhere`
        "#]],
    );
}

#[test]
fn files_are_taken_made_and_saved() {
    let text = r#"
        [[task]]
        name = "fit"
        for_each = { list = ["a", "b"] }
        command = ["fit", "{item}"]
        files = { "conf/it.txt" = "n = {index}", "list" = { path = "/rows.json" } }
        outputs = ["model.bin", "log/*.txt"]

        [[task]]
        name = "score"
        for_each = { task = "fit" }
        command = ["score", "model"]
        files = { "model/" = "{inputs.fit}" }
        save = "scores/{index}.txt"

        [[task]]
        name = "best"
        inputs = ["fit", "score"]
        command = ["best", "{inputs.fit}"]
        stdin = "{inputs.score}"
    "#;
    let plan = expand(text, &origin(&[]), &Fixed).unwrap();
    let saved: Vec<_> = plan.saved.iter().map(|it| (it.task, it.path.to_str().unwrap())).collect();
    assert_eq!(saved, [(2, "scores/0.txt"), (3, "scores/1.txt")]);
    assert_eq!(plan.graph.kept(), [2, 3, 4]);
    expect![[r#"
        0 fit[0] [] fit a files=utf8:n = 0,raw:[{"n": 1}, {"n": [2, 3]}] stdin=-
        1 fit[1] [] fit b files=utf8:n = 1,raw:[{"n": 1}, {"n": [2, 3]}] stdin=-
        2 score[0] [0, 0] score model files=#0,#1 stdin=-
        3 score[1] [1, 1] score model files=#0,#1 stdin=-
        4 best [0, 0, 1, 1, 2, 3] best in/0 in/1 in/2 in/3 files=#0,#1,#2,#3 stdin=[#4 #5]
        show best [4]
    "#]]
    .assert_eq(&render(plan));
}

#[test]
fn what_a_task_leaves_open_is_as_the_defaults_say() {
    let text = r#"
        [job]
        max_failures = 3
        [defaults]
        retries = 2
        retry_on = ["timeout", "user"]
        resources = { cpus = 2, gpu = 1 }
        labels = { zone = "a" }
        env = { A = "1", B = "2" }
        on_worker_lost = "fail"
        [[task]]
        name = "own"
        command = ["true"]
        retries = 0
        max_crashes = 0
        resources = { cpus = 0.5 }
        labels = { disk = "fast" }
        workers = ["w1"]
        [[task]]
        name = "plain"
        function = "builtin/noop"
        backoff = "1s"
        backoff_max = "5s"
    "#;
    let plan = expand(text, &origin(&[]), &Fixed).unwrap();
    assert_eq!(plan.graph.options().max_failures, Some(3));
    let chunk = plan.graph.into_chunks(None, || SubmissionId(0)).next().unwrap();
    let shown = chunk.classes.iter().map(|class| {
        let (labels, workers, retry) = (&class.labels, &class.workers, &class.retry);
        format!(
            "{} {labels:?} {workers:?} {} {} {} {} {:?} {:?}\n",
            class.resources,
            retry.max_retries,
            retry.max_crashes,
            retry.backoff,
            retry.backoff_max,
            retry.retry_on,
            class.on_worker_lost
        )
    });
    expect![[r#"
        cpus=0.5 gpu=1 [("disk", "fast"), ("zone", "a")] ["w1"] 0 0 0 us 1 min [Timeout, User] Fail
        cpus=2 gpu=1 [("zone", "a")] [] 2 3 1.000 s 5.000 s [Timeout, User] Fail
    "#]]
    .assert_eq(&shown.collect::<String>());
}

#[test]
fn files_and_directories_that_do_not_fit_are_refused() {
    let lines = [
        r#"command = ["x"] | cwd = "data""#,
        r#"command = ["x"] | cwd = "/data" | files = { a = "1" }"#,
        r#"command = ["x"] | files = { a = { path = "/nowhere" } }"#,
        r#"command = ["x"] | files = { a = "{inputs} and more" }"#,
        r#"command = ["x"] | files = { a = "{inputs}" } | inputs = ["b", "c"]"#,
        r#"command = ["x"] | outputs = ["a", "b"] | save = "a""#,
        r#"command = ["x"] | save = "out/""#,
        r#"command = ["x"] | save = "out" | for_each = { range = { from = 1, to = 2 } }"#,
        r#"command = ["x"] | retry_on = ["timeut"]"#,
        r#"function = "x" | outputs = ["a"]"#,
    ];
    let others = ["b", "c"].map(|name| format!("[[task]]\nname = \"{name}\"\ncommand = [\"x\"]\n"));
    let job = |line: &str| with(&line.replace(" | ", "\n")) + &others.concat();
    check_refused(
        &lines.map(job),
        expect![[r#"
            job.toml: [[task]] "a", key `cwd`: `data` is not absolute, and workers run elsewhere
            job.toml: [[task]] "a", key `cwd`: other tasks may run there too, so it takes no files: leave out `files`, and take inputs by `stdin`
            job.toml: [[task]] "a", key `files`: a: cannot read `/nowhere`
            job.toml: [[task]] "a", key `files`: a: `{inputs}` must be all of it, or none
            job.toml: [[task]] "a", key `files`: a: 2 inputs do not fit into one file; write `"a/"` for a directory with a file for each
            job.toml: [[task]] "a", key `save`: 1 paths for 2 outputs; name a path for each
            job.toml: [[task]] "a", key `save`: `out/` does not end in the name of a file
            job.toml: [[task]] "a", key `save`: `out` is saved twice; tell paths apart by `{index}` or `{item.stem}`
            job.toml: [[task]] "a", key `retry_on`: no failure is called `timeut`: did you mean `timeout`?
            job.toml: [[task]] "a", key `outputs`: goes with `command`, not with `function`
        "#]],
    );
}
