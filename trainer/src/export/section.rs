//! Replaces a section of an existing model card.

/// The heading before which new sections stand.
const NEXT: &str = "## Ethical considerations\n";

/// The card with a section, which begins with its heading, in the place of the older one; a new one stands before the ethical
/// considerations.
pub(crate) fn with_section(card: &str, heading: &str, section: &str) -> String {
    let mut card = card.to_owned();
    let section = format!("{}\n", section.trim_end_matches('\n').to_owned() + "\n");
    if let Some(range) = place(&card, heading) {
        card.replace_range(range, &section);
        return card;
    }
    let at = card.find(NEXT).unwrap_or(card.len());
    card.insert_str(at, &section);
    card
}

/// The same, where the card has the section already; a card without it stays as it is.
pub(crate) fn replaced(card: &str, heading: &str, section: &str) -> String {
    if place(card, heading).is_some() { with_section(card, heading, section) } else { card.to_owned() }
}

/// The card with a section below its title, where everybody reads it, in the place of the older one.
pub(crate) fn on_top(card: &str, heading: &str, section: &str) -> String {
    if place(card, heading).is_some() {
        return with_section(card, heading, section);
    }
    let (title, rest) = card.split_once('\n').unwrap_or((card, ""));
    format!("{title}\n\n{}\n\n{}", section.trim_end_matches('\n'), rest.trim_start_matches('\n'))
}

/// From the heading to the next one of its level or above.
fn place(card: &str, heading: &str) -> Option<std::ops::Range<usize>> {
    let begin = if card.starts_with(heading) { 0 } else { card.find(&format!("\n{heading}"))? + 1 };
    let level = heading.bytes().take_while(|byte| *byte == b'#').count();
    let mut end = begin;
    for line in card[begin..].split_inclusive('\n') {
        let found = line.bytes().take_while(|byte| *byte == b'#').count();
        if end > begin && (1..=level).contains(&found) {
            return Some(begin..end);
        }
        end += line.len();
    }
    Some(begin..card.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_stands_on_top_and_one_that_is_not_there_is_not_replaced() {
        let card = format!("# a 1.0.0\n\n## Use\n\nold\n\n{NEXT}\nmore\n");
        let once = on_top(&card, "## New\n", "## New\n\none\n");
        assert_eq!(once, format!("# a 1.0.0\n\n## New\n\none\n\n## Use\n\nold\n\n{NEXT}\nmore\n"));
        assert_eq!(on_top(&once, "## New\n", "## New\n\ntwo\n"), once.replace("one", "two"));
        assert_eq!(replaced(&card, "## New\n", "## New\n\none\n"), card);
        assert_eq!(replaced(&card, "## Use\n", "## Use\n\nnew\n"), card.replace("old", "new"));
    }

    #[test]
    fn a_second_section_takes_the_place_of_the_first() {
        let card = format!("# a 1.0.0\n\n## Use\n\nold\n\n### Part\n\nold\n\n{NEXT}\nmore\n");
        let once = with_section(&card, "### int8\n", "### int8\n\none\n");
        assert_eq!(
            once,
            format!("# a 1.0.0\n\n## Use\n\nold\n\n### Part\n\nold\n\n### int8\n\none\n\n{NEXT}\nmore\n")
        );
        assert_eq!(with_section(&once, "### int8\n", "### int8\n\ntwo\n\n"), once.replace("one", "two"));
        let whole = with_section(&once, "## Use\n", "## Use\n\nnew\n");
        assert_eq!(whole, format!("# a 1.0.0\n\n## Use\n\nnew\n\n{NEXT}\nmore\n"), "with what is below it");
        assert_eq!(
            with_section("# a\n", "### x\n", "### x\n\ny\n"),
            "# a\n### x\n\ny\n\n",
            "a card of another form"
        );
    }
}
