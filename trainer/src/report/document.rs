//! Markdown as it grows: headings with numbers, labelled lines, tables, figures.

use super::FIGURES;
use super::Form;
use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::path::Path;

/// What stands where a figure should, before its reason.
pub(super) const NOT_MEASURED: &str = "not measured: ";

/// What a source gives, or why it gives nothing.
pub(super) type Found<T> = Result<T, String>;

/// A report in the making.
#[derive(Debug)]
pub(super) struct Document {
    form: Form,
    text: String,
    figures: BTreeMap<String, Vec<u8>>,
}

impl Document {
    /// An empty one.
    pub(super) const fn new(form: Form) -> Self {
        Self { form, text: String::new(), figures: BTreeMap::new() }
    }

    /// The text and the figures by name.
    pub(super) fn finish(self) -> (String, BTreeMap<String, Vec<u8>>) {
        (self.text.trim_end().to_owned() + "\n", self.figures)
    }

    /// The title.
    pub(super) fn title(&mut self, title: &str) {
        self.block(&format!("# {title}"));
    }

    /// A main heading.
    pub(super) fn section(&mut self, title: &str) {
        self.block(&format!("## {title}"));
    }

    /// A heading below it.
    pub(super) fn heading(&mut self, title: &str) {
        self.block(&format!("### {title}"));
    }

    /// A paragraph.
    pub(super) fn paragraph(&mut self, text: impl Display) {
        self.block(&text.to_string());
    }

    /// A labelled line of a list.
    pub(super) fn item(&mut self, label: &str, value: impl Display) {
        let last = self.text.trim_end().lines().last().unwrap_or_default();
        if !last.starts_with("- **") && !self.text.is_empty() {
            self.text.push('\n');
        }
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "- **{label}:** {value}");
    }

    /// A labelled line, or why there is nothing to say.
    pub(super) fn found(&mut self, label: &str, value: &Found<String>) {
        match value {
            Ok(value) => self.item(label, value),
            Err(why) => self.missing(label, why),
        }
    }

    /// A labelled line without a value.
    pub(super) fn missing(&mut self, label: &str, why: &str) {
        self.item(label, format_args!("{NOT_MEASURED}{why}"));
    }

    /// A table; cells are taken as they are.
    pub(super) fn table<const N: usize>(
        &mut self,
        header: [&str; N],
        rows: impl IntoIterator<Item = [String; N]>,
    ) {
        let mut text = format!("| {} |\n|{}", header.join(" | "), "---|".repeat(N));
        for row in rows {
            let row = row.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
            let _ = write!(text, "\n| {} |", row.join(" | "));
        }
        self.block(&text);
    }

    /// Text as it is, in a fixed-width font.
    pub(super) fn listing(&mut self, language: &str, text: &str) {
        self.block(&format!("```{language}\n{}\n```", text.trim_end()));
    }

    /// A figure of a file; one that is not there is said to be missing.
    pub(super) fn figure(&mut self, file: &Path, caption: &str) {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match std::fs::read(file) {
            Ok(content) => self.drawing(&name, caption, content),
            Err(_) => self.block(&format!("*{caption}* ({name}): {NOT_MEASURED}the run has no such figure")),
        }
    }

    /// A figure that was just drawn.
    pub(super) fn drawing(&mut self, name: &str, caption: &str, content: impl Into<Vec<u8>>) {
        // Contact sheets and overlays are the only figures in pixels.
        let shows_images = Path::new(name).extension().is_some_and(|extension| extension == "png");
        match self.form {
            Form::WithoutImages if shows_images => {
                self.block(&format!(
                    "*{caption}*: figure `{name}` in the run directory; it shows images of the dataset"
                ));
                return;
            }
            Form::Illustrated | Form::WithoutImages => {
                self.block(&format!("![{caption}]({FIGURES}/{name})\n\n*{caption}*"));
            }
            Form::TextAlone => self.block(&format!("*{caption}*: figure `{name}` of the illustrated report")),
        }
        self.figures.insert(name.to_owned(), content.into());
    }

    fn block(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.truncate(self.text.trim_end().len());
            self.text.push_str("\n\n");
        }
        self.text.push_str(text);
        self.text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_the_dataset_stay_out_where_they_must() {
        let mut document = Document::new(Form::WithoutImages);
        document.drawing("sheet.png", "Errors", "pixels");
        document.drawing("curve.svg", "Curve", "<svg/>");
        let (text, figures) = document.finish();
        assert!(
            text.contains("`sheet.png` in the run directory") && !text.contains("(figures/sheet.png)"),
            "{text}"
        );
        assert_eq!(figures.keys().collect::<Vec<_>>(), ["curve.svg"]);
    }

    #[test]
    fn blocks_are_apart_and_lists_together() {
        let mut document = Document::new(Form::Illustrated);
        document.title("T");
        document.table(["a", "b"], [["1".to_owned(), "x|y".to_owned()]]);
        document.item("one", 1);
        document.missing("two", "nobody looked");
        document.drawing("f.svg", "Curve", "<svg/>");
        let (text, figures) = document.finish();
        let expected = "# T\n\n| a | b |\n|---|---|\n| 1 | x\\|y |\n\n- **one:** 1\n- **two:** not measured: nobody looked\n\n\
            ![Curve](figures/f.svg)\n\n*Curve*\n";
        assert_eq!(text, expected);
        assert_eq!(figures["f.svg"], b"<svg/>");
    }
}
