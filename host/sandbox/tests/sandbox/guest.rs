//! Plugins written by hand in WebAssembly's text format: what they return lies ready in their memory, in
//! the layout of the component model's canonical ABI, so that each test says exactly what is wrong with it.

use std::fmt::Write;

use wit_component::StringEncoding;
use wit_parser::Resolve;

/// Where the image starts; an address of zero would hide mistakes.
const BASE: u32 = 1024;

/// The memory of a plugin before it runs.
pub struct Image {
    bytes: Vec<u8>,
}

impl Image {
    fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Puts bytes at an address that suits every type.
    pub fn put(&mut self, bytes: &[u8]) -> u32 {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let address = BASE + self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        address
    }

    pub fn words(&mut self, words: &[u32]) -> u32 {
        self.put(&concat(words))
    }

    /// A string or a list: its address and its length.
    pub fn list(&mut self, bytes: &[u8], length: usize) -> [u32; 2] {
        [self.put(bytes), length as u32]
    }

    pub fn text(&mut self, text: &str) -> [u32; 2] {
        self.list(text.as_bytes(), text.len())
    }

    /// `ok(plan)` of a transform that reads column 0 and makes the nullable int64 `x` in each of `outlets`.
    fn plan(&mut self, outlets: &[&str]) -> u32 {
        let reads = self.list(&[0; 4], 1);
        let mut raw = Vec::new();
        for outlet in outlets {
            let column = self.text("x");
            // made(field { name, int64, nullable }): the type is a byte and its payload's byte, then the flag.
            let given = self.words(&[1, column[0], column[1], u32::from_le_bytes([1, 0, 1, 0])]);
            raw.extend(self.text(outlet));
            raw.extend([given, 1]);
        }
        let outlets = self.list(&concat(&raw), outlets.len());
        self.words(&[0, reads[0], reads[1], outlets[0], outlets[1]])
    }

    /// `values`: every input row once, with these values in an int64 column.
    pub fn int64s(&mut self, values: &[i64]) -> [u32; 8] {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let list = self.list(&bytes, values.len());
        [1, list[0], list[1], 0, 0, 0, 0, 0]
    }

    /// `ok(assembled)` with these groups, columns and rejected groups.
    pub fn assembled(&mut self, groups: &[u32], columns: &[[u32; 8]], rejected: &[u32]) -> u32 {
        let groups = self.list(&concat(groups), groups.len());
        let columns = self.list(&concat(columns.as_flattened()), columns.len());
        // rejection { row, reason: "", part: none }
        let raw: Vec<[u32; 6]> = rejected.iter().map(|group| [*group, 0, 0, 0, 0, 0]).collect();
        let rejected = self.list(&concat(raw.as_flattened()), rejected.len());
        self.words(&[0, groups[0], groups[1], columns[0], columns[1], rejected[0], rejected[1]])
    }

    /// `ok(output)` with one outlet. `rows` is an address and a length; none: all rows.
    pub fn output(&mut self, rows: Option<[u32; 2]>, columns: &[[u32; 8]]) -> u32 {
        let columns = self.list(&concat(columns.as_flattened()), columns.len());
        let [address, length] = rows.unwrap_or_default();
        let emitted = self.words(&[u32::from(rows.is_some()), address, length, columns[0], columns[1]]);
        self.words(&[0, emitted, 1, 0, 0])
    }
}

fn concat(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// What each plugin has: a memory and an allocator that never frees.
const RUNTIME: &str = r#"
  (memory (export "memory") 8)
  (global $top (mut i32) (i32.const 196608))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.set $top (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.get $top)
    (global.set $top (i32.add (global.get $top) (local.get 3))))"#;

/// A transform whose `process` has the body that `body` writes: it may use `$rows`, and returns the address of
/// the result. `functions` are further functions of the module.
pub fn transform(functions: &str, body: impl FnOnce(&mut Image) -> String) -> Vec<u8> {
    let mut image = Image::new();
    let plan = image.plan(&["main"]);
    let body = body(&mut image);
    let module = format!(
        r#"(module
  (import "azenha:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32)))
  {RUNTIME}
  {functions}
  (func (export "open") (param i32 i32 i32 i32) (result i32) (i32.const {plan}))
  (func $process (export "process") (param $rows i32) (param i32 i32) (result i32)
    {body})
  (data (i32.const {BASE}) "{data}"))"#,
        data = escaped(&image.bytes),
    );
    described(&module, "transform")
}

/// An aggregate whose accumulators stay as they are, and that finishes no group.
pub fn aggregate() -> Vec<u8> {
    let mut image = Image::new();
    // ok(plan): reads nothing, gives nothing, version 1, reads no other, merges.
    let plan = image.words(&[0, 0, 0, 0, 0, 1, 0, 0, 1]);
    let result = image.words(&[0; 8]);
    let echo = |parameters: [u32; 4]| {
        let store = |(at, parameter)| format!("(i32.store offset={at} (local.get $at) (local.get {parameter}))");
        [4, 8, 12, 16].into_iter().zip(parameters).map(store).collect::<Vec<_>>().join(" ")
    };
    let module = format!(
        r#"(module
  {RUNTIME}
  (func (export "open") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const {plan}))
  (func (export "fold") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (local $at i32)
    (local.set $at (i32.const {result})) {fold} (local.get $at))
  (func (export "merge") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (local $at i32)
    (local.set $at (i32.const {result})) {merge} (local.get $at))
  (func (export "finish") (param i32 i32 i32 i32 i32 i32 i32) (result i32)
    (i32.const {nothing}))
  (func (export "migrate") (param i32 i32 i32 i32 i32) (result i32) (local $at i32)
    (local.set $at (i32.const {result})) {migrate} (local.get $at))
  (data (i32.const {BASE}) "{data}"))"#,
        fold = echo([8, 9, 10, 11]),
        merge = echo([0, 1, 2, 3]),
        migrate = echo([1, 2, 3, 4]),
        nothing = image.words(&[0; 8]),
        data = escaped(&image.bytes),
    );
    described(&module, "aggregate")
}

/// An assemble of one table, of which it reads column 0, that makes the nullable int64 `x`. Its `assemble` has the
/// body that `body` writes: it may use `$groups`, how many there are, and `$tables`, where the one table lies.
pub fn assemble(body: impl FnOnce(&mut Image) -> String) -> Vec<u8> {
    let mut image = Image::new();
    let name = image.text("x");
    let gives = image.words(&[name[0], name[1], u32::from_le_bytes([1, 0, 1, 0])]);
    let columns = image.words(&[0]);
    let reads = image.words(&[columns, 1]);
    let plan = image.words(&[0, reads, 1, gives, 1]);
    let body = body(&mut image);
    let module = format!(
        r#"(module
  {RUNTIME}
  (func (export "open") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const {plan}))
  (func (export "assemble") (param $groups i32) (param i32 i32) (param $tables i32) (param i32) (result i32)
    {body})
  (data (i32.const {BASE}) "{data}"))"#,
        data = escaped(&image.bytes),
    );
    described(&module, "assemble")
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "\\{byte:02x}").expect("a string takes everything");
        text
    })
}

/// Assembles a core module and adds the section that says which world it is.
pub fn described(module: &str, world: &str) -> Vec<u8> {
    let mut bytes = wat::parse_str(module).unwrap_or_else(|error| panic!("{error}\n{module}"));
    let mut resolve = Resolve::default();
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit");
    let (package, _) = resolve.push_path(wit).expect("the contract parses");
    let world = resolve.select_world(&[package], Some(world)).expect("the world exists");
    wit_component::embed_component_metadata(&mut bytes, &resolve, world, StringEncoding::UTF8, false)
        .expect("the contract is embedded");
    bytes
}
