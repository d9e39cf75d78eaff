//! Plans, problems, rejections and row numbers of a plugin, checked: what the host may rely on.

use std::collections::HashSet;

use azenha_model::plugin::{
    AggregatePlan, AssemblePlan, Given, Outlet, Problem, Rejection, TableFields, TransformPlan,
};
use azenha_model::types::DECIMAL_PRECISION;
use azenha_model::{DataType, Field};

use crate::bindings::{aggregate, assemble, data, transform};
use crate::error::{Failure, OpenError};
use crate::words::{MESSAGE, NAME, shown};

/// Columns that a plan may read, or an outlet may give; and outlets of a plan.
const MANY: usize = 4096;

/// Bytes of the name of a column or an outlet.
const NAME_BYTES: usize = 255;

/// Problems of one `open` that are kept.
const PROBLEMS: usize = 20;

/// The plan of a transform that was opened with `input`.
pub fn transform_plan(plan: transform::Plan, input: &[Field]) -> Result<TransformPlan, Failure> {
    let reads = reads(&plan.reads, input)?;
    counted("outlets", plan.outputs.len())?;
    if plan.outputs.is_empty() {
        return Err(broken("it has no outlet"));
    }
    let outlets: Vec<Outlet> = plan.outputs.into_iter().map(|raw| outlet(raw, input)).collect::<Result<_, _>>()?;
    distinct("outlets", outlets.iter().map(|outlet| outlet.name.as_str()))?;
    Ok(TransformPlan { reads, outlets })
}

fn outlet(raw: transform::Outlet, input: &[Field]) -> Result<Outlet, Failure> {
    let name = named("an outlet", raw.name)?;
    counted("columns", raw.gives.len())?;
    let gives: Vec<Given> = raw.gives.into_iter().map(|raw| given(raw, input)).collect::<Result<_, _>>()?;
    let names = gives.iter().map(|given| match given {
        Given::Passed { name, .. } => name.as_str(),
        Given::Made(field) => field.name.as_str(),
    });
    distinct(&format!("columns of outlet `{name}`"), names)?;
    Ok(Outlet { name, gives })
}

fn given(raw: transform::Given, input: &[Field]) -> Result<Given, Failure> {
    Ok(match raw {
        transform::Given::Passed(passed) => {
            Given::Passed { input: index("passes on", passed.input, input)?, name: named("a column", passed.name)? }
        }
        transform::Given::Made(raw) => Given::Made(field(raw)?),
    })
}

/// The plan of an aggregate that was opened with `input` and `keys`.
pub fn aggregate_plan(plan: aggregate::Plan, input: &[Field], keys: &[Field]) -> Result<AggregatePlan, Failure> {
    counted("state versions", plan.reads_versions.len())?;
    Ok(AggregatePlan {
        reads: reads(&plan.reads, input)?,
        gives: gives_beside(plan.gives, keys)?,
        state_version: plan.state_version,
        reads_versions: plan.reads_versions,
        merges: plan.merges,
        retracts: plan.retracts,
    })
}

/// The plan of an assemble that was opened with `tables` and `keys`.
pub fn assemble_plan(plan: assemble::Plan, tables: &[TableFields], keys: &[Field]) -> Result<AssemblePlan, Failure> {
    if plan.reads.len() != tables.len() {
        return Err(broken(format!("it reads {} tables, but there are {}", plan.reads.len(), tables.len())));
    }
    let of_table = |(raw, table): (&Vec<u32>, &TableFields)| {
        reads(raw, &table.fields)
            .map_err(|failure| Failure::contract(format!("table `{}`: {}", table.name, failure.message)))
    };
    let reads = plan.reads.iter().zip(tables).map(of_table).collect::<Result<_, _>>()?;
    let gives = gives_beside(plan.gives, keys)?;
    if let Some(Field { name, .. }) = gives.iter().find(|field| field.name.starts_with('$')) {
        return Err(broken(format!("it makes `{name}`, but the metadata of an assembled row is the host's")));
    }
    Ok(AssemblePlan { reads, gives })
}

/// The columns that a plugin makes of groups, beside those of the keys.
fn gives_beside(raw: Vec<data::FieldResult>, keys: &[Field]) -> Result<Vec<Field>, Failure> {
    counted("columns", raw.len())?;
    let gives: Vec<Field> = raw.into_iter().map(field).collect::<Result<_, _>>()?;
    let names = keys.iter().chain(&gives).map(|field| field.name.as_str());
    distinct("columns, the keys among them,", names)?;
    Ok(gives)
}

/// What `open` found wrong; never empty, and with indices that are below `columns`.
pub fn problems(raw: Vec<data::Problem>, columns: usize) -> OpenError {
    let problem = |raw: data::Problem| Problem {
        message: shown(&raw.message, MESSAGE),
        config_path: raw.config_path.map(|path| shown(&path, NAME)),
        input: raw.input.map(|index| index as usize).filter(|index| *index < columns),
    };
    let more = raw.len().saturating_sub(PROBLEMS);
    let mut problems: Vec<Problem> = raw.into_iter().take(PROBLEMS).map(problem).collect();
    if more > 0 {
        problems.push(Problem::general(format!("… and {more} more")));
    }
    if problems.is_empty() {
        problems.push(Problem::general("the plugin refuses this configuration or input, but does not say why"));
    }
    OpenError::Problems(problems)
}

fn broken(what: impl std::fmt::Display) -> Failure {
    Failure::contract(format!("the plan that `open` returned is not valid: {what}"))
}

fn counted(what: &str, found: usize) -> Result<(), Failure> {
    if found > MANY {
        return Err(broken(format!("it has {found} {what}; the limit is {MANY}")));
    }
    Ok(())
}

fn index(does: &str, index: u32, input: &[Field]) -> Result<usize, Failure> {
    let index = index as usize;
    if index >= input.len() {
        return Err(broken(format!("it {does} input column {index}, but there are {}", input.len())));
    }
    Ok(index)
}

fn reads(raw: &[u32], input: &[Field]) -> Result<Vec<usize>, Failure> {
    counted("columns to read", raw.len())?;
    raw.iter().map(|column| index("reads", *column, input)).collect()
}

fn distinct<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(broken(format!("two of its {what} are called `{name}`")));
        }
    }
    Ok(())
}

fn named(what: &str, name: String) -> Result<String, Failure> {
    if name.is_empty() || name.len() > NAME_BYTES || name.contains(char::is_control) {
        let name = shown(&name, NAME);
        return Err(broken(format!(
            "{what} is called `{name}`; a name has 1 to {NAME_BYTES} bytes and no control characters"
        )));
    }
    Ok(name)
}

fn field(raw: data::FieldResult) -> Result<Field, Failure> {
    let name = named("a column", raw.name)?;
    let data_type = match raw.data_type {
        data::DataType::Boolean => DataType::Boolean,
        data::DataType::Int64 => DataType::Int64,
        data::DataType::Float64 => DataType::Float64,
        data::DataType::Decimal(scale) if scale > DECIMAL_PRECISION => {
            return Err(broken(format!(
                "column `{name}` has {scale} digits after the point; a decimal has 38 at most"
            )));
        }
        data::DataType::Decimal(scale) => DataType::Decimal { scale },
        data::DataType::Text => DataType::Text,
        data::DataType::Bytes => DataType::Bytes,
        data::DataType::Date => DataType::Date,
        data::DataType::Time => DataType::Time,
        data::DataType::Timestamp => DataType::Timestamp,
        data::DataType::Json => DataType::Json,
    };
    Ok(Field::new(name, data_type, raw.nullable))
}

/// Rejections of `rows` rows (or groups), at most `limit` of them.
pub fn rejections(raw: Vec<data::Rejection>, rows: usize, limit: usize) -> Result<Vec<Rejection>, Failure> {
    if raw.len() > limit {
        let found = raw.len();
        return Err(Failure::contract(format!(
            "it rejected {found} rows or parts of {rows} rows; the limit is {limit}"
        )));
    }
    let rejection = |raw: data::Rejection| {
        in_range("it rejected row", raw.row, rows)?;
        let (reason, part) = (shown(&raw.reason, MESSAGE), raw.part.map(|part| shown(&part, NAME)));
        Ok(Rejection { row: raw.row, reason, part })
    };
    raw.into_iter().map(rejection).collect()
}

/// Row numbers that must be below `rows`.
pub fn selected(whole: &str, selection: &[u32], rows: usize) -> Result<(), Failure> {
    let highest = selection.iter().copied().max();
    highest.map_or(Ok(()), |row| in_range(&format!("{whole} has a row that comes from row"), row, rows))
}

/// Groups that must ascend and be below `count`.
pub fn ascending(whole: &str, groups: &[u32], count: usize) -> Result<(), Failure> {
    if let Some(pair) = groups.windows(2).find(|pair| pair[0] >= pair[1]) {
        let (before, after) = (pair[0], pair[1]);
        return Err(Failure::contract(format!("{whole} has group {after} after {before}: not ascending")));
    }
    groups.last().map_or(Ok(()), |group| in_range(&format!("{whole} has group"), *group, count))
}

fn in_range(what: &str, index: u32, count: usize) -> Result<(), Failure> {
    if index as usize >= count {
        return Err(Failure::contract(format!("{what} {index}, but there are {count}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> Vec<Field> {
        vec![Field::new("a", DataType::Int64, false), Field::new("b", DataType::Text, true)]
    }

    fn made(name: &str, data_type: data::DataType) -> transform::Given {
        transform::Given::Made(data::FieldResult { name: name.to_owned(), data_type, nullable: true })
    }

    fn passed(input: u32, name: &str) -> transform::Given {
        transform::Given::Passed(transform::Passed { input, name: name.to_owned() })
    }

    fn outlet_of(name: &str, gives: Vec<transform::Given>) -> transform::Outlet {
        transform::Outlet { name: name.to_owned(), gives }
    }

    fn refusal(reads: Vec<u32>, outputs: Vec<transform::Outlet>) -> String {
        transform_plan(transform::Plan { reads, outputs }, &input()).expect_err("not valid").message
    }

    #[test]
    fn a_valid_plan_is_taken_over() {
        let outputs = vec![outlet_of("main", vec![passed(1, "c"), made("d", data::DataType::Decimal(38))])];
        let plan = transform_plan(transform::Plan { reads: vec![1, 0], outputs }, &input()).expect("valid");
        let field = Field::new("d", DataType::Decimal { scale: 38 }, true);
        let gives = vec![Given::Passed { input: 1, name: "c".to_owned() }, Given::Made(field)];
        let outlets = vec![Outlet { name: "main".to_owned(), gives }];
        assert_eq!(plan, TransformPlan { reads: vec![1, 0], outlets });
    }

    #[test]
    fn a_plan_that_breaks_the_contract_says_how() {
        let main = || vec![outlet_of("main", vec![])];
        assert!(refusal(vec![], vec![]).ends_with("it has no outlet"));
        assert!(refusal(vec![2], main()).ends_with("it reads input column 2, but there are 2"));
        assert!(refusal(vec![0; 5000], main()).contains("5000 columns to read"));
        let one = |gives| refusal(vec![], vec![outlet_of("main", gives)]);
        assert!(one(vec![passed(9, "x")]).ends_with("it passes on input column 9, but there are 2"));
        assert!(one(vec![passed(0, "x"), made("x", data::DataType::Text)]).contains("are called `x`"));
        assert!(one(vec![made("x", data::DataType::Decimal(39))]).contains("39 digits after the point"));
        let twice = refusal(vec![], vec![outlet_of("main", vec![]), outlet_of("main", vec![])]);
        assert!(twice.ends_with("two of its outlets are called `main`"), "{twice}");
    }

    #[test]
    fn a_name_is_neither_empty_nor_long_nor_with_control_characters() {
        let longest = "é".repeat(127) + "x";
        let plan = |name: &str| vec![outlet_of(name, vec![passed(0, name), made("y", data::DataType::Text)])];
        assert!(transform_plan(transform::Plan { reads: vec![], outputs: plan(&longest) }, &input()).is_ok());
        for name in ["", &(longest + "x"), "x\ny", "\x1b[2J", "\u{9b}"] {
            let outlet = refusal(vec![], plan(name));
            assert!(outlet.contains("an outlet is called"), "{outlet}");
            for given in [passed(0, name), made(name, data::DataType::Text)] {
                let column = refusal(vec![], vec![outlet_of("main", vec![given])]);
                assert!(column.contains("a column is called"), "{column}");
                assert!(column.ends_with("1 to 255 bytes and no control characters"), "{column}");
            }
        }
    }

    #[test]
    fn an_aggregate_may_not_make_a_column_that_is_a_key() {
        let gives = vec![data::FieldResult { name: "a".to_owned(), data_type: data::DataType::Int64, nullable: false }];
        let plan = aggregate::Plan {
            reads: vec![],
            gives,
            state_version: 1,
            reads_versions: vec![],
            merges: true,
            retracts: false,
        };
        let failure = aggregate_plan(plan, &input(), &input()[..1]).expect_err("a key's name");
        assert!(failure.message.contains("are called `a`"), "{}", failure.message);
    }

    #[test]
    fn an_assemble_reads_columns_that_its_tables_have_and_makes_no_metadata() {
        let table = |name: &str, fields| TableFields { name: name.to_owned(), fields };
        let tables = [table("left", input()), table("right", input()[..1].to_vec())];
        let checked = |reads: &[&[u32]], name: &str| {
            let made = data::FieldResult { name: name.to_owned(), data_type: data::DataType::Json, nullable: false };
            let reads = reads.iter().map(|columns| columns.to_vec()).collect();
            assemble_plan(assemble::Plan { reads, gives: vec![made] }, &tables, &input()[..1])
                .map_err(|failure| failure.message)
        };
        let gives = vec![Field::new("document", DataType::Json, false)];
        let expected = AssemblePlan { reads: vec![vec![1, 0], vec![]], gives };
        assert_eq!(checked(&[&[1, 0], &[]], "document"), Ok(expected));
        let refusal = |reads, name| checked(reads, name).expect_err("not valid");
        assert!(refusal(&[&[]], "document").ends_with("it reads 1 tables, but there are 2"));
        let beyond = refusal(&[&[1], &[1]], "document");
        assert!(beyond.starts_with("table `right`: ") && beyond.ends_with("column 1, but there are 1"), "{beyond}");
        assert!(refusal(&[&[], &[]], "a").contains("are called `a`"));
        assert!(refusal(&[&[], &[]], "$op").contains("it makes `$op`"));
    }

    #[test]
    fn problems_are_never_empty_and_point_at_columns_that_exist() {
        let of = |raw| match problems(raw, 2) {
            OpenError::Problems(problems) => problems,
            other => panic!("{other}"),
        };
        assert_eq!(of(vec![]).len(), 1);
        let raw = |input| data::Problem { message: "no".to_owned(), config_path: None, input };
        let inputs: Vec<_> = of(vec![raw(Some(1)), raw(Some(2)), raw(None)]).iter().map(|found| found.input).collect();
        assert_eq!(inputs, [Some(1), None, None]);
    }

    #[test]
    fn problems_are_cut_escaped_and_counted() {
        let raw =
            data::Problem { message: "\x1b".repeat(MESSAGE), config_path: Some("/a\n".repeat(NAME)), input: None };
        let OpenError::Problems(found) = problems(vec![raw; 25], 2) else { panic!("not problems") };
        assert_eq!(found.len(), 21);
        assert!(found[0].message.starts_with(r"\u{1b}\u{1b}") && found[0].message.len() < 2 * MESSAGE);
        let path = found[0].config_path.as_ref().expect("a path");
        assert!(path.starts_with(r"/a\n/a\n") && path.len() < 2 * NAME, "{path}");
        assert_eq!(found[20], Problem::general("… and 5 more"));
    }

    #[test]
    fn the_reason_and_the_part_of_a_rejection_are_cut_and_escaped() {
        let (reason, part) = ("no\r".repeat(MESSAGE), Some("a\n".repeat(NAME)));
        let found = rejections(vec![data::Rejection { row: 0, reason, part }], 1, 1).expect("in range");
        let part = found[0].part.as_ref().expect("a part");
        assert_eq!((found[0].reason.len(), part.len()), (MESSAGE + "…".len(), NAME + "…".len()));
        assert!(found[0].reason.starts_with(r"no\rno\r") && part.starts_with(r"a\na\n"), "{part}");
    }

    #[test]
    fn rows_and_groups_out_of_range_are_refused() {
        let rejection = |row| data::Rejection { row, reason: "no".to_owned(), part: None };
        assert_eq!(rejections(vec![rejection(1), rejection(0)], 2, 9).expect("in range").len(), 2);
        assert!(rejections(vec![rejection(2)], 2, 9).expect_err("beyond").message.contains("row 2, but there are 2"));
        assert!(rejections(vec![rejection(0); 10], 2, 9).expect_err("many").message.contains("the limit is 9"));
        assert!(selected("output `main`", &[1, 0, 1], 2).is_ok());
        assert!(selected("output `main`", &[0, 2], 2).is_err());
        let ascending = |groups: &[u32], count| ascending("it", groups, count);
        assert!(ascending(&[0, 2, 3], 4).is_ok() && ascending(&[], 0).is_ok());
        assert!(ascending(&[0, 2, 2], 4).expect_err("twice").message.contains("it has group 2 after 2"));
        assert!(ascending(&[0, 4], 4).expect_err("beyond").message.contains("it has group 4, but there are 4"));
    }
}
