//! Well-behaved plugins through the whole sandbox: loaded, opened, called.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow_schema::Schema;
use azenha_model::plugin::{TableFields, World};
use azenha_model::{DataType, Field};
use azenha_sandbox::{Aggregate, Assemble, Grouped, Limits, LoadReason, OpenError, Plugin, Sandbox, Transform};

use crate::guest;

fn sandbox() -> Sandbox {
    Sandbox::new(Limits::default(), None).expect("the engine starts")
}

fn input() -> [Field; 1] {
    [Field::new("a", DataType::Int64, false)]
}

fn batch(values: &[i64]) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    RecordBatch::try_from_iter([("a", column)]).expect("a batch")
}

/// Gives the column that it gets, from wherever the host put it.
const ECHO: &str = r#"
    (i32.store offset=4 (i32.const 512) (i32.const 544))
    (i32.store offset=8 (i32.const 512) (i32.const 1))
    (i32.store offset=12 (i32.const 544) (local.get 1))
    (i32.store offset=16 (i32.const 544) (local.get 2))
    (i32.const 512)"#;

#[test]
fn columns_go_in_and_come_out_unchanged() {
    let plugin = sandbox().load("echo", &guest::transform("", |_| ECHO.to_owned())).expect("it loads");
    assert_eq!((plugin.name(), plugin.world()), ("echo", World::Transform));
    let mut transform = plugin.open_transform("{}", &input()).expect("it opens");
    assert_eq!(transform.plan().reads, [0]);
    for values in [vec![], vec![7], (0..10_000).collect::<Vec<i64>>()] {
        let output = transform.process(&batch(&values)).expect("it runs");
        let expected: ArrayRef = Arc::new(Int64Array::from(values));
        assert_eq!(output.outlets[0].rows, None);
        assert_eq!(&output.outlets[0].columns[0], &expected);
    }
}

#[test]
fn an_aggregate_folds_merges_finishes_and_migrates() {
    let plugin = sandbox().load("keep", &guest::aggregate()).expect("it loads");
    assert_eq!(plugin.world(), World::Aggregate);
    let mut aggregate = plugin.open_aggregate("{}", &input(), &[]).expect("it opens");
    assert!(aggregate.plan().merges && !aggregate.plan().retracts);

    let no_columns = |rows| {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).expect("a batch")
    };
    let accumulators = BinaryArray::from(vec![b"zero".as_slice(), b"", b"two"]);
    let folded = aggregate.fold(&no_columns(2), &[0, 2], None, &accumulators).expect("it folds");
    assert_eq!(folded, (accumulators.clone(), vec![]));
    // A slice: its offsets do not start at zero.
    let part = accumulators.slice(1, 2);
    assert_eq!(aggregate.merge(&part, &accumulators.slice(0, 2)).expect("it merges"), part);
    assert_eq!(aggregate.migrate(0, &part).expect("it migrates"), part);
    let finished = aggregate.finish(&no_columns(3), &accumulators).expect("it finishes");
    assert!(finished.groups.is_empty() && finished.columns.is_empty());
}

fn tables() -> [TableFields; 1] {
    [TableFields { name: "lines".to_owned(), fields: input().to_vec() }]
}

/// Gives the column of the table that it gets; the offsets, but for the last, serve as groups.
const ASSEMBLE_ECHO: &str = r#"
    (i32.store offset=4 (i32.const 512) (i32.load offset=12 (local.get $tables)))
    (i32.store offset=8 (i32.const 512) (local.get $groups))
    (i32.store offset=12 (i32.const 512) (i32.load offset=4 (local.get $tables)))
    (i32.store offset=16 (i32.const 512) (i32.load offset=8 (local.get $tables)))
    (i32.const 512)"#;

#[test]
fn an_assemble_gets_the_rows_of_its_tables_with_the_groups_that_they_belong_to() {
    let plugin = sandbox().load("echo", &guest::assemble(|_| ASSEMBLE_ECHO.to_owned())).expect("it loads");
    assert_eq!(plugin.world(), World::Assemble);
    let mut assemble = plugin.open_assemble("{}", &tables(), &input()).expect("it opens");
    assert_eq!(assemble.plan().reads, [[0]]);
    for values in [vec![], vec![7, -7, 0]] {
        let rows = batch(&values);
        let offsets: Vec<u32> = (0..=values.len() as u32).collect();
        let made = assemble.assemble(&rows, &[Grouped { rows: &rows, offsets: &offsets }]).expect("it runs");
        let expected: ArrayRef = Arc::new(Int64Array::from(values));
        assert_eq!((&made.groups[..], &made.columns[..]), (&offsets[..rows.num_rows()], &[expected][..]));
    }
}

#[test]
fn offsets_that_do_not_fit_the_rows_are_the_hosts_mistake() {
    let plugin = sandbox().load("echo", &guest::assemble(|_| ASSEMBLE_ECHO.to_owned())).expect("it loads");
    let mut assemble = plugin.open_assemble("{}", &tables(), &input()).expect("it opens");
    let (keys, rows) = (batch(&[1, 2]), batch(&[7, 8, 9]));
    for wrong in [&[][..], &[0, 3], &[0, 1, 2], &[0, 4, 3], &[0, 3, 3, 3]] {
        let failure =
            assemble.assemble(&keys, &[Grouped { rows: &rows, offsets: wrong }]).expect_err("they do not fit");
        assert_eq!(failure.message, "the host gave offsets of table `lines` that do not fit", "{wrong:?}");
    }
    assert!(assemble.assemble(&keys, &[]).expect_err("no table").message.contains("0 tables where 1 were opened"));
}

#[test]
fn a_plugin_is_known_by_the_digest_of_its_bytes() {
    let plugin = sandbox().load("keep", &guest::aggregate()).expect("it loads");
    assert_eq!(plugin.digest().len(), 64);
    assert_eq!(sandbox().load("other", &guest::aggregate()).expect("it loads").digest(), plugin.digest());
}

#[test]
fn a_component_is_taken_as_well_as_the_module_it_was_made_of() {
    let module = guest::transform("", |_| ECHO.to_owned());
    let component = wit_component::ComponentEncoder::default()
        .module(&module)
        .and_then(|encoder| encoder.encode())
        .expect("it is a component");
    let plugin = sandbox().load("echo", &component).expect("it loads");
    let mut transform = plugin.open_transform("{}", &input()).expect("it opens");
    assert_eq!(transform.process(&batch(&[1, 2])).expect("it runs").outlets[0].columns[0].len(), 2);
}

#[test]
fn an_aggregate_is_not_opened_as_a_transform() {
    let plugin = sandbox().load("keep", &guest::aggregate()).expect("it loads");
    let error = plugin.open_transform("{}", &input()).err().expect("the wrong world");
    assert!(matches!(error, OpenError::WrongWorld { .. }));
    assert_eq!(error.to_string(), "plugin `keep` is an aggregate, not a transform");
}

#[test]
fn a_plan_that_reads_what_is_not_there_is_refused_when_it_is_opened() {
    let plugin = sandbox().load("echo", &guest::transform("", |_| ECHO.to_owned())).expect("it loads");
    let error = plugin.open_transform("{}", &[]).err().expect("there is no column");
    assert!(error.to_string().contains("reads input column 0, but there are 0"), "{error}");
}

#[test]
fn a_component_of_another_contract_is_told_what_it_lacks() {
    let nothing = wat::parse_str("(component)").expect("a component");
    let error = sandbox().load("nothing", &nothing).expect_err("no world");
    assert_eq!(error.reason, LoadReason::NoWorld { exports: "nothing".to_owned() });

    let module = r#"(component
      (core module $m (func (export "process")))
      (core instance $i (instantiate $m))
      (func (export "process") (canon lift (core func $i "process"))))"#;
    let error = sandbox().load("other", &wat::parse_str(module).expect("a component")).expect_err("other types");
    assert!(matches!(error.reason, LoadReason::OtherContract { world: World::Transform, .. }), "{error}");
}

#[test]
fn compiled_code_is_kept_and_a_damaged_file_of_it_is_compiled_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("compiled");
    let module = guest::transform("", |_| ECHO.to_owned());
    let run = || {
        let sandbox = Sandbox::new(Limits::default(), Some(&path)).expect("the engine starts");
        let plugin = sandbox.load("echo", &module).expect("it loads");
        let mut transform = plugin.open_transform("{}", &input()).expect("it opens");
        transform.process(&batch(&[1])).expect("it runs")
    };
    run();
    let kept = files(&path);
    assert!(!kept.is_empty());
    run();
    for file in kept {
        std::fs::write(file, b"damaged").expect("it is damaged");
    }
    run();
}

#[cfg(unix)]
#[test]
fn a_directory_that_others_may_write_to_is_refused_for_compiled_code() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).expect("it is opened up");
    let error = Sandbox::new(Limits::default(), Some(directory.path())).err().expect("it is refused");
    assert!(error.to_string().contains("others may write to it"), "{error}");
}

fn files(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

#[test]
fn plugins_can_move_between_threads() {
    fn shared<T: Send + Sync>() {}
    fn moved<T: Send>() {}
    shared::<Sandbox>();
    shared::<Plugin>();
    moved::<Transform>();
    moved::<Aggregate>();
    moved::<Assemble>();
}
