//! Pages of lists: a size, a filter, and a place to go on from.

use std::fmt::Display;
use std::str::FromStr;

use tonic::Status;

use bireme_core::reason::{Reason, Refusal};
use bireme_proto::pb;
use bireme_proto::status::status;

/// Items of a page, unless asked otherwise.
const SIZE: usize = 100;
/// Items of a page at most.
const SIZE_MAX: usize = 1_000;

/// One page, as asked for. `K` is what the list is sorted by.
#[derive(Debug)]
pub(crate) struct Page<K> {
    size: usize,
    /// The last item of the page before.
    pub(crate) after: Option<K>,
    filter: Vec<(String, String)>,
}

impl<K: Display + FromStr> Page<K> {
    /// Reads a request for a page of a list with these filter keys; one that ends in `.` stands for all that begin so.
    pub(crate) fn read(request: Option<pb::PageRequest>, keys: &[&str]) -> Result<Self, Status> {
        let pb::PageRequest { page_size, page_token, filter } = request.unwrap_or_default();
        let size = match usize::try_from(page_size).unwrap_or(SIZE_MAX) {
            0 => SIZE,
            size => size.min(SIZE_MAX),
        };
        let after = match page_token.as_str() {
            "" => None,
            token => Some(token.parse().map_err(|_| {
                let message = format!("{token:?} is no token of this list: pass on what came last");
                bad("page.page_token", message)
            })?),
        };
        Ok(Self { size, after, filter: words(&filter, keys)? })
    }

    /// Items of the page at most.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// What the filter asks of a key.
    pub(crate) fn asked<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.filter.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// What the filter asks of the keys that begin so: the rest of each and its value.
    pub(crate) fn asked_below<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.filter
            .iter()
            .filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, &**value)))
    }

    /// Whether an item whose `key` has this value passes.
    pub(crate) fn passes(&self, key: &str, value: impl Display) -> bool {
        let value = value.to_string();
        self.asked(key).all(|asked| asked == value)
    }

    /// Cuts the page off the list of what comes after [`Self::after`]. Returns the token of the next page too.
    pub(crate) fn cut<T>(
        &self,
        items: impl Iterator<Item = T>,
        key: impl Fn(&T) -> K,
    ) -> (Vec<T>, String) {
        let mut items = items.fuse();
        let page: Vec<T> = items.by_ref().take(self.size).collect();
        let token = match (items.next(), page.last()) {
            (Some(_), Some(last)) => key(last).to_string(),
            _ => String::new(),
        };
        (page, token)
    }
}

/// Reads the words `key=value` of a filter.
fn words(filter: &str, keys: &[&str]) -> Result<Vec<(String, String)>, Status> {
    let known = |name: &str| {
        keys.iter().any(|key| match key.strip_suffix('.') {
            Some(_) => name.len() > key.len() && name.starts_with(key),
            None => name == *key,
        })
    };
    let word = |word: &str| {
        let (key, value) = word.split_once('=').filter(|(key, _)| known(key)).ok_or_else(|| {
            let message = format!("{word:?} is not KEY=VALUE with a key of {}", keys.join(", "));
            bad("page.filter", message)
        })?;
        Ok((key.to_owned(), value.to_owned()))
    };
    filter.split_whitespace().map(word).collect()
}

fn bad(field: &str, message: String) -> Status {
    status(Refusal::at(Reason::Malformed, field, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(page_size: u32, page_token: &str, filter: &str) -> Result<Page<u32>, Status> {
        let (page_token, filter) = (page_token.to_owned(), filter.to_owned());
        let request = pb::PageRequest { page_size, page_token, filter };
        Page::read(Some(request), &["name", "label."])
    }

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let mut token = String::new();
        let mut seen = Vec::new();
        loop {
            let page = page(3, &token, "").unwrap();
            let rest = (1..=7).filter(|n| page.after.is_none_or(|after| *n > after));
            let (items, next) = page.cut(rest, |n| *n);
            assert!(items.len() <= 3);
            seen.extend(items);
            if next.is_empty() {
                break;
            }
            token = next;
        }
        assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn filters_name_known_keys() {
        let page = page(0, "", "name=a label.zone=b").unwrap();
        assert!(page.passes("name", "a") && !page.passes("name", "b"));
        assert_eq!(page.asked_below("label.").collect::<Vec<_>>(), [("zone", "b")]);
        for filter in ["name", "nome=a", "label.=x"] {
            assert!(self::page(0, "", filter).is_err(), "{filter}");
        }
        assert!(self::page(0, "x", "").is_err());
    }
}
