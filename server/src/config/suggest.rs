//! "Did you mean ...?": the known name that is nearest to an unknown one. Pure.

/// The candidate that `given` was most likely meant to be, if any is near.
pub(super) fn nearest<'a>(
    given: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let plain_given = plain(given);
    candidates
        .into_iter()
        .filter_map(|candidate| Some((rank(given, &plain_given, candidate)?, candidate)))
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, candidate)| candidate)
}

/// How far a candidate is, 0 the nearest; none if it is too far to be meant.
fn rank(given: &str, plain_given: &str, candidate: &str) -> Option<usize> {
    // Another way of writing it: windowSeconds, window-seconds.
    if plain_given == plain(candidate) {
        return Some(0);
    }
    // The right key in the wrong section.
    if !leaf(given).is_empty() && plain(leaf(given)) == plain(leaf(candidate)) {
        return Some(1);
    }
    let allowed = 1 + leaf(candidate).len() / 5;
    let distance = distance(plain_given, &plain(candidate));
    (distance <= allowed).then_some(1 + distance)
}

fn leaf(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// Names compare without regard to capitals, dashes and underscores.
fn plain(name: &str) -> String {
    const MOST: usize = 100;
    name.chars()
        .filter(|c| !matches!(c, '_' | '-'))
        .take(MOST)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// Levenshtein's distance, a swap of neighbours counted as one step.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = [
        "listen",
        "delivery.window",
        "drain.window_seconds",
        "log.level",
    ];

    #[test]
    fn a_slip_of_the_pen_finds_its_setting() {
        assert_eq!(nearest("lsiten", KNOWN), Some("listen"));
        assert_eq!(nearest("delivery.windw", KNOWN), Some("delivery.window"));
        assert_eq!(nearest("delivry.window", KNOWN), Some("delivery.window"));
    }

    #[test]
    fn another_spelling_or_section_finds_its_setting() {
        assert_eq!(
            nearest("drain.windowSeconds", KNOWN),
            Some("drain.window_seconds")
        );
        assert_eq!(nearest("window", KNOWN), Some("delivery.window"));
        assert_eq!(nearest("limits.level", KNOWN), Some("log.level"));
    }

    #[test]
    fn something_else_finds_nothing() {
        assert_eq!(nearest("colour", KNOWN), None);
        assert_eq!(nearest("", KNOWN), None);
    }
}
