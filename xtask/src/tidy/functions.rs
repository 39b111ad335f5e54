//! Finds the functions of a Rust file and how long they are, with a scanner that knows just enough of the language:
//! comments, strings, characters and braces.

/// A function with a body.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Function {
    pub(super) name: String,
    /// Where `fn` stands, from 1.
    pub(super) line: usize,
    /// Lines from `fn` to the closing brace, both counted.
    pub(super) lines: usize,
}

/// Every function of a file down to its test module, in the order in which they end.
pub(super) fn functions(text: &str) -> Vec<Function> {
    let code = blank(text);
    let code = code.find("#[cfg(test)]\nmod ").and_then(|end| code.get(..end)).unwrap_or(&code);
    let mut found = Vec::new();
    // Functions whose body is open, with the depth of braces around it.
    let mut open: Vec<(String, usize, usize)> = Vec::new();
    // A function whose signature is being read, with the depth of parentheses and brackets in it.
    let mut signature: Option<(String, usize, usize)> = None;
    let (mut line, mut depth) = (1, 0_usize);
    let mut words = Words::default();
    for c in code.chars() {
        if let Some(name) = words.function_name(c) {
            signature = Some((name, line, 0));
        }
        match (c, &mut signature) {
            ('\n', _) => line += 1,
            ('(' | '[', Some((_, _, inside))) => *inside += 1,
            (')' | ']', Some((_, _, inside))) => *inside = inside.saturating_sub(1),
            (';', Some((_, _, 0))) => signature = None,
            ('{', _) => {
                if signature.as_ref().is_some_and(|(_, _, inside)| *inside == 0)
                    && let Some((name, start, _)) = signature.take()
                {
                    open.push((name, start, depth));
                }
                depth += 1;
            }
            ('}', _) => {
                depth = depth.saturating_sub(1);
                if let Some((name, start, _)) = open.pop_if(|(_, _, around)| *around == depth) {
                    found.push(Function { name, line: start, lines: line - start + 1 });
                }
            }
            _ => {}
        }
    }
    found
}

/// The last two words read.
#[derive(Default)]
struct Words {
    current: String,
    after_fn: bool,
}

impl Words {
    /// Takes one character; returns a name once the word behind `fn` has ended.
    fn function_name(&mut self, c: char) -> Option<String> {
        if c.is_alphanumeric() || c == '_' {
            self.current.push(c);
            return None;
        }
        let word = std::mem::take(&mut self.current);
        if word.is_empty() {
            // `fn(u32)` is a type.
            self.after_fn &= c.is_whitespace();
            return None;
        }
        let is_name = std::mem::replace(&mut self.after_fn, word == "fn" && c.is_whitespace());
        is_name.then_some(word)
    }
}

/// The text with the insides of comments, strings and character literals replaced by spaces, line for line.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(rest) = chars.get(at..).filter(|rest| !rest.is_empty()) {
        let skipped = comment(rest).or_else(|| raw_string(rest)).or_else(|| quoted(rest));
        if let Some(length) = skipped {
            let inside = rest.iter().take(length);
            code.extend(inside.map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at += length;
        } else {
            // A whole word at once, so that the `r` of `for"` opens no raw string.
            let word = rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
            code.extend(rest.iter().take(word.max(1)));
            at += word.max(1);
        }
    }
    code
}

/// Length of the comment that `rest` starts with.
fn comment(rest: &[char]) -> Option<usize> {
    if rest.starts_with(&['/', '/']) {
        return Some(rest.iter().take_while(|c| **c != '\n').count());
    }
    if !rest.starts_with(&['/', '*']) {
        return None;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(rest) = rest.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(&['/', '*']) {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with(&['*', '/']) {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += 1;
        }
        if depth == 0 {
            break;
        }
    }
    Some(at)
}

/// Length of the raw string that `rest` starts with, prefix and all.
fn raw_string(rest: &[char]) -> Option<usize> {
    let prefix = rest.iter().take_while(|c| matches!(c, 'b' | 'c' | 'r')).count();
    let hashes = rest.iter().skip(prefix).take_while(|c| **c == '#').count();
    let start = prefix + hashes;
    if prefix == 0 || rest.get(prefix - 1) != Some(&'r') || rest.get(start) != Some(&'"') {
        return None;
    }
    let end: Vec<char> = std::iter::once('"').chain("#".repeat(hashes).chars()).collect();
    let body = rest.get(start + 1..)?;
    let length = body.windows(end.len()).position(|window| window == end)?;
    Some(start + 1 + length + end.len())
}

/// Length of the string or character literal that `rest` starts with; a lifetime is neither.
fn quoted(rest: &[char]) -> Option<usize> {
    let quote = *rest.first().filter(|c| matches!(c, '"' | '\''))?;
    if quote == '\'' && rest.get(1) != Some(&'\\') {
        return (rest.get(2) == Some(&'\'')).then_some(3);
    }
    let mut at = 1;
    while let Some(c) = rest.get(at) {
        match c {
            '\\' => at += 2,
            c if *c == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, usize, usize)]) {
        let found: Vec<_> =
            functions(text).into_iter().map(|it| (it.name, it.line, it.lines)).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, line, lines)| ((*name).to_owned(), *line, *lines))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn one_line_and_many() {
        check("fn a() {}\nfn b(\n) {\n  if x { y() }\n}\n", &[("a", 1, 1), ("b", 2, 4)]);
    }

    #[test]
    fn inner_functions_end_first() {
        check("fn a() {\n  fn b() {\n  }\n}\n", &[("b", 2, 2), ("a", 1, 4)]);
    }

    #[test]
    fn declarations_and_types_have_no_body() {
        check(
            "trait T {\n fn a(&self);\n fn b(x: [u8; 4]) -> fn(u32) -> u32 {\n }\n}",
            &[("b", 3, 2)],
        );
        check("struct S { run: fn() -> u32 }\nconst X: u32 = { 4 };\n", &[]);
    }

    #[test]
    fn braces_in_text_count_for_nothing() {
        let text = "fn a<'a>(c: char) {\n // }\n /* } /* } */ } */\n let s = \"}\\\"}\";\n let r = r#\"}\"}\"#;\n c == '}' || c == '\\''\n}\n";
        check(text, &[("a", 1, 7)]);
    }

    #[test]
    fn the_test_module_is_left_out() {
        check("fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\n", &[("a", 1, 1)]);
    }
}
