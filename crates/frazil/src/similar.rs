//! "Did you mean …?"

/// The name that is most like `text`, if one is like it at all: a part of it, or few typing errors away.
pub(crate) fn to<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may be wrong.
    let tolerance = text.chars().count().div_ceil(3);
    let rank = |name: &'a str| {
        let distance = distance(text, name);
        let part = !text.is_empty() && (name.contains(text) || text.contains(name));
        (distance <= tolerance || part).then_some((distance, name))
    };
    names.filter_map(rank).min().map(|(_, name)| name)
}

/// How many letters have to be inserted, deleted or replaced.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut diagonal = index;
        let mut left = index.saturating_add(1);
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, candidate) in row.iter_mut().skip(1).zip(&other) {
            let replaced = diagonal.saturating_add(usize::from(letter != *candidate));
            diagonal = *cell;
            *cell = replaced.min(diagonal.saturating_add(1)).min(left.saturating_add(1));
            left = *cell;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_its_name() {
        let names = ["hello", "python:3.12", "node"];
        assert_eq!(to("helo", names.into_iter()), Some("hello"));
        assert_eq!(to("python", names.into_iter()), Some("python:3.12"));
        assert_eq!(to("redis", names.into_iter()), None);
    }

    #[test]
    fn the_distance_counts_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }
}
