//! What a sink does for readers of its Parquet files.

use super::super::file::ObjectsSinkDef;
use super::{Outcome, Reported, Resolver};
use crate::plan::{Layout, OutputColumn, ReaderHints};
use crate::types::{DataType, Field};
use crate::yaml::Spanned;

impl Resolver<'_> {
    pub(super) fn reader_hints(
        &mut self,
        sink: &ObjectsSinkDef,
        layout: Layout,
        columns: &[OutputColumn],
    ) -> Outcome<ReaderHints> {
        let written: Vec<Field> = columns.iter().map(|column| column.field.clone()).collect();
        let sort_by = self.written_columns("sort_by", sink.sort_by.as_ref(), layout, &written)?;
        let bloom = self.written_columns("bloom", sink.bloom.as_ref(), layout, &written)?;
        let of_two_values = bloom.iter().position(|column| written[*column].data_type == DataType::Boolean);
        if let (Some(index), Some(names)) = (of_two_values, &sink.bloom) {
            let name = &names.value[index];
            self.report
                .error(name.place, format!("a bloom filter of column `{}` would tell nothing apart", name.value))
                .suggest("name columns with many different values, such as ids");
            return Err(Reported);
        }
        Ok(ReaderHints { sort_by, bloom })
    }

    fn written_columns(
        &mut self,
        key: &str,
        names: Option<&Spanned<Vec<Spanned<String>>>>,
        layout: Layout,
        written: &[Field],
    ) -> Outcome<Vec<usize>> {
        let Some(names) = names else { return Ok(Vec::new()) };
        if layout != Layout::Parquet {
            self.report
                .error(names.place, format!("`{key}` is for Parquet files, and these objects are of `{layout}`"))
                .suggest(format!("leave `{key}` out, or write `format: parquet`"));
            return Err(Reported);
        }
        self.columns(&names.value, written)
    }
}
