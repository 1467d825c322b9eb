//! Adds and replaces sections of an existing model card.

const INSERT_BEFORE: &str = "## Ethical considerations\n";

/// Replaces or inserts a section, before [`INSERT_BEFORE`]. `section` begins with its heading.
pub(crate) fn with_section(card: &str, heading: &str, section: &str) -> String {
    let mut card = card.to_owned();
    let section = format!("{}\n\n", section.trim_end_matches('\n'));
    if let Some(range) = section_range(&card, heading) {
        card.replace_range(range, &section);
        return card;
    }
    let at = card.find(INSERT_BEFORE).unwrap_or(card.len());
    card.insert_str(at, &section);
    card
}

/// Replaces the section under the heading, if the card has it.
pub(crate) fn replaced(card: &str, heading: &str, section: &str) -> String {
    if section_range(card, heading).is_some() {
        with_section(card, heading, section)
    } else {
        card.to_owned()
    }
}

/// Replaces the section under the heading, or inserts it below the title.
pub(crate) fn on_top(card: &str, heading: &str, section: &str) -> String {
    if section_range(card, heading).is_some() {
        return with_section(card, heading, section);
    }
    let (title, rest) = card.split_once('\n').unwrap_or((card, ""));
    format!("{title}\n\n{}\n\n{}", section.trim_end_matches('\n'), rest.trim_start_matches('\n'))
}

/// From the heading to the next one of the same or a higher level.
fn section_range(card: &str, heading: &str) -> Option<std::ops::Range<usize>> {
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
    fn a_section_is_inserted_on_top_and_a_missing_one_is_not_replaced() {
        let card = format!("# a 1.0.0\n\n## Use\n\nold\n\n{INSERT_BEFORE}\nmore\n");
        let once = on_top(&card, "## New\n", "## New\n\none\n");
        assert_eq!(once, format!("# a 1.0.0\n\n## New\n\none\n\n## Use\n\nold\n\n{INSERT_BEFORE}\nmore\n"));
        assert_eq!(on_top(&once, "## New\n", "## New\n\ntwo\n"), once.replace("one", "two"));
        assert_eq!(replaced(&card, "## New\n", "## New\n\none\n"), card);
        assert_eq!(replaced(&card, "## Use\n", "## Use\n\nnew\n"), card.replace("old", "new"));
    }

    #[test]
    fn a_section_replaces_the_earlier_one() {
        let card = format!("# a 1.0.0\n\n## Use\n\nold\n\n### Part\n\nold\n\n{INSERT_BEFORE}\nmore\n");
        let once = with_section(&card, "### int8\n", "### int8\n\none\n");
        assert_eq!(
            once,
            format!(
                "# a 1.0.0\n\n## Use\n\nold\n\n### Part\n\nold\n\n### int8\n\none\n\n{INSERT_BEFORE}\nmore\n"
            )
        );
        assert_eq!(with_section(&once, "### int8\n", "### int8\n\ntwo\n\n"), once.replace("one", "two"));
        let whole = with_section(&once, "## Use\n", "## Use\n\nnew\n");
        assert_eq!(
            whole,
            format!("# a 1.0.0\n\n## Use\n\nnew\n\n{INSERT_BEFORE}\nmore\n"),
            "with its subsections"
        );
        assert_eq!(
            with_section("# a\n", "### x\n", "### x\n\ny\n"),
            "# a\n### x\n\ny\n\n",
            "a card without the heading to insert before"
        );
    }
}
