//! The figures of a report, from files of the run and from drawings.

use super::{FIGURES, Form};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

#[derive(Debug)]
pub(super) struct Pictures {
    form: Form,
    folders: Vec<PathBuf>,
    /// Figures that the report draws itself.
    drawn: BTreeMap<String, Vec<u8>>,
    shown: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Pictures {
    pub(super) fn new(form: Form, folders: Vec<PathBuf>, drawn: BTreeMap<String, Vec<u8>>) -> Self {
        Self { form, folders, drawn, shown: Mutex::default() }
    }

    /// Markdown that shows a figure, or says why not.
    pub(super) fn show(&self, name: &str, caption: &str) -> String {
        let Some(content) = self.find(name) else {
            return format!("*{caption}* ({name}): not measured: the run has no such figure");
        };
        // Only contact sheets and overlays are PNG files.
        let shows_images = Path::new(name).extension().is_some_and(|extension| extension == "png");
        let text = match self.form {
            Form::WithoutImages if shows_images => {
                return format!(
                    "*{caption}*: figure `{name}` in the run directory; it shows images of the data set"
                );
            }
            Form::Illustrated | Form::WithoutImages => {
                format!("![{caption}]({FIGURES}/{name})\n\n*{caption}*")
            }
            Form::TextAlone => format!("*{caption}*: figure `{name}` of the illustrated report"),
        };
        if let Ok(mut shown) = self.shown.lock() {
            shown.insert(name.to_owned(), content);
        }
        text
    }

    /// Empty if the figure does not exist.
    pub(super) fn show_if_any(&self, name: &str, caption: &str) -> String {
        if self.find(name).is_some() { self.show(name, caption) } else { String::new() }
    }

    pub(super) fn take_shown(&self) -> BTreeMap<String, Vec<u8>> {
        self.shown.lock().map(|mut shown| std::mem::take(&mut *shown)).unwrap_or_default()
    }

    fn find(&self, name: &str) -> Option<Vec<u8>> {
        let on_file = || self.folders.iter().find_map(|folder| std::fs::read(folder.join(name)).ok());
        self.drawn.get(name).cloned().or_else(on_file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pictures(form: Form) -> Pictures {
        let drawn = [("sheet.png", "pixels"), ("curve.svg", "<svg/>")];
        let drawn = drawn.map(|(name, content)| (name.to_owned(), content.as_bytes().to_vec()));
        Pictures::new(form, Vec::new(), drawn.into())
    }

    #[test]
    fn images_of_the_data_set_stay_out_where_they_must() {
        let pictures = pictures(Form::WithoutImages);
        let text = pictures.show("sheet.png", "Errors");
        assert!(
            text.contains("`sheet.png` in the run directory") && !text.contains("(figures/sheet.png)"),
            "{text}"
        );
        pictures.show("curve.svg", "Curve");
        assert_eq!(pictures.take_shown().keys().collect::<Vec<_>>(), ["curve.svg"]);
    }

    #[test]
    fn a_figure_is_linked_and_taken_along() {
        let pictures = pictures(Form::Illustrated);
        assert_eq!(pictures.show("curve.svg", "Curve"), "![Curve](figures/curve.svg)\n\n*Curve*");
        assert_eq!(pictures.take_shown()["curve.svg"], b"<svg/>");
        assert!(pictures.show("nowhere.svg", "None").contains("not measured"));
        assert_eq!(pictures.show_if_any("nowhere.svg", "None"), "");
    }
}
