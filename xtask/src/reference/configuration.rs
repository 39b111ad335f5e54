//! The page of configuration: every flag of both daemons, with its variable and its key.

use std::fmt::Write as _;

use anyhow::Result;

use super::help::{Flag, flags, help};
use super::pages::{HEAD, cell};

/// Flags that make no sense inside the file that they are about.
const NOT_IN_FILE: [&str; 2] = ["--config", "--print-config"];

const INTRODUCTION: &str = "\
# Configuration

Each setting of a daemon is a flag, a variable and a key of the configuration file. A flag wins over the variable, the
variable over the file, the file over the default. An empty variable counts as unset, and a comma parts the values of a
list. `--print-config` prints every setting and where it came from.

The file is TOML, named by `--config`. It has a table for each program, with keys that are spelled like the flags; a table of
another program is left to it. An unknown key is an error.

```toml
[scheduler]
listen = \"127.0.0.1:9700\"
log = \"info\"

[worker]
cpus = 4
resource = [\"gpu=2\"]
```

Sizes are written `512MiB` or `8GiB`, times `30s`, `5m` or `1h30m`, addresses `HOST:PORT`, where port 0 lets the system
choose.
";

pub(super) fn page() -> Result<String> {
    let mut page = format!("{HEAD}{INTRODUCTION}");
    for (program, table) in [("bireme-scheduler", "scheduler"), ("bireme-worker", "worker")] {
        write!(page, "\n## {program}\n\nIts table is `[{table}]`.\n\n")?;
        page.push_str(
            "| Flag | Variable | Key | Default | Meaning |\n| --- | --- | --- | --- | --- |\n",
        );
        for flag in flags(&help(program, &[])?) {
            row(&mut page, &flag)?;
        }
    }
    Ok(page)
}

fn row(page: &mut String, flag: &Flag) -> Result<()> {
    let Flag { name, value, meaning, variable, default } = flag;
    let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
    let typed = if value.is_empty() { name.clone() } else { format!("{name} <{value}>") };
    let key = if NOT_IN_FILE.contains(&name.as_str()) { "" } else { name.trim_start_matches('-') };
    let (variable, key, default) = (code(variable), code(key), code(default));
    writeln!(page, "| `{typed}` | {variable} | {key} | {default} | {} |", cell(meaning))?;
    Ok(())
}
