//! Section 1, last part: what is stated of the data, and what every class folder counts as.

use super::document::Document;
use super::sources::Sources;
use crate::config::provenance::stated;
use crate::data::census::Census;

pub(super) fn write(sources: &Sources, document: &mut Document) {
    let config = sources.config();
    document.heading("Provenance");
    document.paragraph("As the configuration states it (trainer.provenance); nothing here was measured.");
    for (what, statement) in config.provenance.of_data() {
        document.item(what, statement);
    }
    if config.export.originals.is_some() {
        document.item("Originals", stated(config.provenance.originals.as_ref()));
    }
    document.heading("What each class counts as");
    document.paragraph(format_args!("Images and patients by fold; to test on: {}.", sources.test_name()));
    document.table(Census::HEADER, sources.census.rows());
}
