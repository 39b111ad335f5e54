//! The last lines of what was printed.

use std::collections::VecDeque;

use bireme_core::limits;

/// Keeps the last lines, each cut to its limit.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    ended: VecDeque<Vec<u8>>,
    open: Vec<u8>,
}

impl Tail {
    /// Takes what was printed next.
    pub(crate) fn push(&mut self, printed: &[u8]) {
        let mut lines = printed.split(|byte| *byte == b'\n');
        if let Some(first) = lines.next() {
            self.extend(first);
        }
        for line in lines {
            if self.ended.len() == limits::ERROR_LAST_LINES {
                self.ended.pop_front();
            }
            self.ended.push_back(std::mem::take(&mut self.open));
            self.extend(line);
        }
    }

    fn extend(&mut self, part: &[u8]) {
        let room = limits::ERROR_LINE_BYTES - self.open.len();
        self.open.extend(part.iter().take(room));
    }

    /// The lines, with replacement characters where they are not UTF-8.
    pub(crate) fn lines(self) -> impl Iterator<Item = String> {
        let open = Some(self.open).filter(|open| !open.is_empty());
        self.ended.into_iter().chain(open).map(|line| String::from_utf8_lossy(&line).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_they_arrive() {
        let mut tail = Tail::default();
        for part in ["a", "b\nc\n", "\n", "d"] {
            tail.push(part.as_bytes());
        }
        assert_eq!(tail.lines().collect::<Vec<_>>(), ["ab", "c", "", "d"]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut tail = Tail::default();
        for n in 0..1_000 {
            tail.push(format!("{n}\n").as_bytes());
        }
        tail.push(&vec![b'x'; 1 << 20]);
        let lines: Vec<_> = tail.lines().collect();
        assert_eq!(lines.len(), limits::ERROR_LAST_LINES + 1);
        assert_eq!(lines[limits::ERROR_LAST_LINES - 1], "999");
        assert_eq!(lines[limits::ERROR_LAST_LINES].len(), limits::ERROR_LINE_BYTES);
    }
}
