//! Hostile plugins: what the user is told, and that everything else goes on.

use std::sync::Arc;
use std::time::Duration;

use crate::guest::{self, Image};
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use azenha_model::plugin::TableFields;
use azenha_model::{DataType, Field};
use azenha_sandbox::{Failure, FailureKind, Grouped, Limits, LoadReason, OpenError, Sandbox, Transform};

fn sandbox() -> Sandbox {
    let limits = Limits { call_time: Duration::from_millis(50), ..Limits::default() };
    Sandbox::new(limits, None).expect("the engine starts")
}

fn batch(rows: usize) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![7; rows]));
    RecordBatch::try_from_iter([("a", column)]).expect("a batch")
}

fn open(module: &[u8]) -> Result<Transform, OpenError> {
    let plugin = sandbox().load("hostile", module).expect("it loads");
    plugin.open_transform("{}", &[Field::new("a", DataType::Int64, false)])
}

/// Opens a plugin that answers a batch of two rows, and does `deed` with every other batch.
fn two_rows_or(functions: &str, deed: impl FnOnce(&mut Image) -> String) -> Transform {
    let module = guest::transform(functions, |image| {
        let column = image.int64s(&[1, 2]);
        let good = image.output(None, &[column]);
        let deed = deed(image);
        format!("(if (i32.eq (local.get $rows) (i32.const 2)) (then (return (i32.const {good})))) {deed}")
    });
    open(&module).expect("it opens")
}

/// The failure of the deed; before and after it the plugin works.
fn failure_of(mut transform: Transform) -> Failure {
    let works =
        |transform: &mut Transform| assert_eq!(transform.process(&batch(2)).expect("it works").outlets.len(), 1);
    works(&mut transform);
    let failure = transform.process(&batch(3)).expect_err("the deed fails");
    works(&mut transform);
    failure
}

#[test]
fn an_endless_loop_is_ended() {
    let failure = failure_of(two_rows_or("", |_| "(loop $forever (br $forever)) (unreachable)".to_owned()));
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert_eq!(failure.message, "it ran longer than 50ms; in `process`");
}

#[test]
fn endless_allocation_is_reported_as_memory() {
    let deed = r#"(loop $more
        (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then (unreachable)))
        (br $more)) (unreachable)"#;
    let failure = failure_of(two_rows_or("", |_| deed.to_owned()));
    assert_eq!(failure.kind, FailureKind::Memory);
    assert!(failure.message.contains("the limit is 65536 KiB"), "{}", failure.message);
}

#[test]
fn deep_recursion_says_that_the_stack_is_used_up() {
    let deep = "(func $deep (param i64) (result i64) (i64.add (call $deep (local.get 0)) (i64.const 1)))";
    let failure = failure_of(two_rows_or(deep, |_| "(drop (call $deep (i64.const 0))) (unreachable)".to_owned()));
    assert_eq!(failure.kind, FailureKind::Trap);
    assert!(failure.message.contains("stack of 512 KiB"), "{}", failure.message);
    assert!(failure.message.contains("`deep` (again and again)"), "{}", failure.message);
}

#[test]
fn recursion_that_uses_up_the_stack_in_memory_says_so_too() {
    let deep = r#"(func $deep (param i32)
        (i32.store (local.get 0) (i32.const 0)) (call $deep (i32.sub (local.get 0) (i32.const 256))))"#;
    let failure = failure_of(two_rows_or(deep, |_| "(call $deep (i32.const 65536)) (unreachable)".to_owned()));
    assert_eq!(failure.kind, FailureKind::Trap);
    assert!(failure.message.starts_with("it used up the stack in its memory"), "{}", failure.message);
}

#[test]
fn a_panic_shows_its_message_and_the_authors_functions() {
    let functions = "(func $my_plugin::parse (unreachable))";
    let failure = failure_of(two_rows_or(functions, |image| {
        let [address, length] = image.text("panicked at src/lib.rs:3:5: no such stage");
        let log = format!("(call $log (i32.const 3) (i32.const {address}) (i32.const {length}))");
        format!("{log} (call $my_plugin::parse) (unreachable)")
    }));
    assert_eq!(failure.kind, FailureKind::Trap);
    let expected = "panicked at src/lib.rs:3:5: no such stage; in `my_plugin::parse`";
    assert_eq!(failure.message, expected);
}

#[test]
fn an_error_that_the_plugin_returns_is_passed_on() {
    let failure = failure_of(two_rows_or("", |image| {
        let [address, length] = image.text("no such campaign");
        format!("(i32.const {})", image.words(&[1, address, length, 0, 0]))
    }));
    assert_eq!(
        failure,
        Failure { kind: FailureKind::Error, message: "no such campaign".to_owned(), stack: Vec::new() }
    );
}

fn contract_failure(output: impl FnOnce(&mut Image) -> u32) -> String {
    let failure = failure_of(two_rows_or("", |image| format!("(i32.const {})", output(image))));
    assert_eq!(failure.kind, FailureKind::Contract, "{}", failure.message);
    failure.message
}

#[test]
fn a_column_of_the_wrong_length_is_named() {
    let message = contract_failure(|image| {
        let column = image.int64s(&[1]);
        image.output(None, &[column])
    });
    assert_eq!(message, "column `x` of output `main` has 1 values, but there are 3 rows");
}

#[test]
fn a_pointer_out_of_the_memory_is_refused() {
    let message = contract_failure(|image| image.output(None, &[[1, u32::MAX - 7, 3, 0, 0, 0, 0, 0]]));
    assert!(message.starts_with("what it returned cannot be read: "), "{message}");
}

#[test]
fn a_case_that_no_variant_has_is_refused() {
    let message = contract_failure(|image| image.output(None, &[[99, 0, 0, 0, 0, 0, 0, 0]]));
    assert!(message.starts_with("what it returned cannot be read: "), "{message}");
}

#[test]
fn ten_million_rows_are_refused() {
    let grown = two_rows_or("", |image| {
        let output = image.output(Some([0, 10_000_000]), &[]);
        format!("(drop (memory.grow (i32.const 700))) (i32.const {output})")
    });
    let failure = failure_of(grown);
    assert_eq!(failure.kind, FailureKind::Contract);
    assert_eq!(failure.message, "it gave 10000000 rows for 3; the limit is 10048");
}

#[test]
fn output_that_repeats_its_memory_many_times_is_bounded() {
    // A thousand columns of 200 KiB each that share their bytes.
    let message = contract_failure(|image| image.output(None, &[[1, 0, 25_000, 0, 0, 0, 0, 0]; 1000]));
    assert_eq!(message, "it returned more than 131072 KiB");
}

/// What is said of an assemble that returns this for two groups.
fn assemble_failure(assembled: impl FnOnce(&mut Image) -> u32) -> String {
    let module = guest::assemble(|image| format!("(i32.const {})", assembled(image)));
    let plugin = sandbox().load("hostile", &module).expect("it loads");
    let fields = vec![Field::new("a", DataType::Int64, false)];
    let tables = [TableFields { name: "lines".to_owned(), fields: fields.clone() }];
    let mut assemble = plugin.open_assemble("{}", &tables, &fields).expect("it opens");
    let table = Grouped { rows: &batch(3), offsets: &[0, 1, 3] };
    let failure = assemble.assemble(&batch(2), &[table]).expect_err("it breaks the contract");
    assert_eq!(failure.kind, FailureKind::Contract, "{}", failure.message);
    failure.message
}

#[test]
fn groups_that_an_assemble_was_not_given_or_gives_twice_are_refused() {
    let of = |groups: &[u32]| {
        assemble_failure(|image| {
            let column = image.int64s(&vec![7; groups.len()]);
            image.assembled(groups, &[column], &[])
        })
    };
    assert_eq!(of(&[0, 2]), "what `assemble` returned has group 2, but there are 2");
    assert_eq!(of(&[1, 0]), "what `assemble` returned has group 0 after 1: not ascending");
    assert_eq!(of(&[1, 1]), "what `assemble` returned has group 1 after 1: not ascending");
    assert_eq!(of(&[0, 1, 2]), "what `assemble` returned has group 2, but there are 2");
}

#[test]
fn columns_of_an_assemble_that_do_not_fit_its_groups_or_its_plan_are_refused() {
    let short = assemble_failure(|image| {
        let column = image.int64s(&[7]);
        image.assembled(&[0, 1], &[column], &[])
    });
    assert_eq!(short, "column `x` of what `assemble` returned has 1 values, but there are 2 rows");
    let none = assemble_failure(|image| image.assembled(&[0], &[], &[]));
    assert_eq!(none, "what `assemble` returned has 0 made columns, but the plan says 1");
    let of_another_type = assemble_failure(|image| image.assembled(&[], &[[0; 8]], &[]));
    assert_eq!(of_another_type, "column `x` of what `assemble` returned is declared as int64, but it holds booleans");
}

#[test]
fn rejections_of_an_assemble_are_bounded_and_concern_its_groups() {
    let of = |rejected: &[u32]| {
        assemble_failure(|image| {
            let column = image.int64s(&[]);
            image.assembled(&[], &[column], rejected)
        })
    };
    assert_eq!(of(&[2]), "it rejected row 2, but there are 2");
    assert_eq!(of(&[0; 69]), "it rejected 69 rows or parts of 2 rows; the limit is 68");
}

#[test]
fn a_memory_that_is_too_big_from_the_start_is_refused_when_it_is_opened() {
    let module = guest::transform("(memory $huge 2000)", |_| "(unreachable)".to_owned());
    match open(&module).err() {
        Some(OpenError::Failed(failure)) => assert_eq!(failure.kind, FailureKind::Memory, "{failure}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_loop_before_the_first_call_is_ended() {
    let functions = "(func $init (loop $forever (br $forever))) (start $init)";
    match open(&guest::transform(functions, |_| "(unreachable)".to_owned())).err() {
        Some(OpenError::Failed(failure)) => assert_eq!(failure.kind, FailureKind::Timeout, "{failure}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_import_of_wasi_is_refused_by_name() {
    let module = r#"(module (import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32))))"#;
    let error = sandbox().load("curious", &guest::described(module, "transform")).expect_err("it imports WASI");
    assert!(matches!(error.reason, LoadReason::Import { .. }));
    assert!(error.to_string().starts_with("plugin `curious`: it imports `wasi_snapshot_preview1.random_get`"));
}

#[test]
fn a_module_that_lacks_an_export_is_refused() {
    let error = sandbox().load("empty", &guest::described("(module)", "transform")).expect_err("no exports");
    assert!(matches!(error.reason, LoadReason::NotComponent(_)), "{error}");
}

#[test]
fn a_truncated_module_is_refused_wherever_it_ends() {
    let module = guest::transform("", |_| "(unreachable)".to_owned());
    let sandbox = sandbox();
    for length in (0..module.len()).step_by(97) {
        assert!(sandbox.load("cut", &module[..length]).is_err(), "{length} bytes of {}", module.len());
    }
}

#[test]
fn a_compilation_that_takes_too_long_is_given_up() {
    let limits = Limits { compile_time: Duration::ZERO, ..Limits::default() };
    let sandbox = Sandbox::new(limits, None).expect("the engine starts");
    let module = guest::transform("", |_| "(unreachable)".to_owned());
    let error = sandbox.load("slow", &module).expect_err("no time");
    assert_eq!(error.reason, LoadReason::CompileTime(Duration::ZERO));
}

/// A fixed sequence of pseudo-random numbers (Knuth's MMIX generator).
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

#[test]
fn a_thousand_flipped_bits_are_refused_or_contained() {
    let good = guest::transform("", |image| {
        let column = image.int64s(&[1, 2]);
        format!("(i32.const {})", image.output(None, &[column]))
    });
    let sandbox = sandbox();
    let input = [Field::new("a", DataType::Int64, false)];
    let mut sequence = Sequence(3);
    let (mut refused, mut ran) = (0, 0);
    for _ in 0..1000 {
        let mut flipped = good.clone();
        let at = sequence.below(good.len());
        flipped[at] ^= 1 << sequence.below(8);
        match sandbox.load("flipped", &flipped) {
            Err(_) => refused += 1,
            Ok(plugin) => {
                let opened = plugin.open_transform("{}", &input);
                // Whatever it gives was checked; whether it is right cannot be known.
                ran += usize::from(opened.is_ok_and(|mut transform| transform.process(&batch(2)).is_ok()));
            }
        }
    }
    assert!(refused > 0 && ran > 0, "{refused} refused, {ran} ran");

    let plugin = sandbox.load("good", &good).expect("it loads");
    let mut transform = plugin.open_transform("{}", &input).expect("it opens");
    assert!(transform.process(&batch(2)).is_ok());
}
