//! What a supervisor weighs: it waits for most of its life, and needs little of the program for that.
#![expect(unsafe_code, reason = "only the system knows how pages are given back")]

use std::ffi::c_void;
use std::io;
use std::ops::Range;

use rustix::mm::{Advice, madvise};

/// Gives back what only the start of a daemon needs: the pages of program text, which are read anew from the file where they
/// are needed after all, and the memory that is allocated no more.
pub(super) fn shed() -> io::Result<()> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    for Range { start, end } in maps.lines().filter_map(text) {
        let start = std::ptr::with_exposed_provenance_mut::<c_void>(start);
        let length = end - start.addr();
        // SAFETY: the range is a whole mapping of this process, made when a program or library was loaded and never undone.
        // It is private, backed by a file, and was never writable, so its pages read the same the next time.
        unsafe { madvise(start, length, Advice::LinuxDontNeed)? };
    }
    #[cfg(target_env = "gnu")]
    // SAFETY: no precondition; it takes the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
    Ok(())
}

/// The range of a line of `/proc/self/maps`, if it is program text from a file.
fn text(line: &str) -> Option<Range<usize>> {
    let mut words = line.split_ascii_whitespace();
    let (range, access) = (words.next()?, words.next()?);
    let path = words.nth(3)?;
    let (start, end) = range.split_once('-')?;
    let address = |hex| usize::from_str_radix(hex, 16).ok();
    let is_text = access == "r-xp" && path.starts_with('/');
    Some(address(start)?..address(end)?).filter(|_| is_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_of_files_is_given_back() {
        let line = "55d0-66e0 r-xp 0000 fe:00 42    /usr/bin/bireme-worker";
        assert_eq!(text(line), Some(0x55d0..0x66e0));
        for other in [
            "55d0-66e0 r--p 0000 fe:00 42    /usr/bin/bireme-worker",
            "55d0-66e0 rwxp 0000 fe:00 42    /usr/bin/bireme-worker",
            "7ffd-7fff r-xp 0000 00:00 0     [vdso]",
            "7ffd-7fff r-xp 0000 00:00 0",
            "",
        ] {
            assert_eq!(text(other), None, "{other}");
        }
    }

    #[test]
    fn a_program_that_gave_its_text_back_goes_on() {
        shed().unwrap();
        assert_eq!("still here".to_uppercase(), "STILL HERE");
    }
}
