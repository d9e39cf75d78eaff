//! What `wasmtime` makes of the contract in `wit/`. All worlds share one set of data types; parameters
//! borrow, so that Arrow's buffers are copied once: into the plugin's memory.
//!
//! The generated code is `unsafe` where it skips the check of a function's type at each call, because
//! it has checked the type when the component was loaded.

/// The world `transform`.
#[allow(unsafe_code)]
pub mod transform {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "transform",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

/// The world `aggregate`.
#[allow(unsafe_code)]
pub mod aggregate {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "aggregate",
        ownership: Borrowing { duplicate_if_necessary: true },
        with: {
            "azenha:plugin/data": super::transform::azenha::plugin::data,
            "azenha:plugin/log": super::transform::azenha::plugin::log,
        },
    });
}

/// The world `assemble`.
#[allow(unsafe_code)]
pub mod assemble {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "assemble",
        ownership: Borrowing { duplicate_if_necessary: true },
        with: {
            "azenha:plugin/data": super::transform::azenha::plugin::data,
            "azenha:plugin/log": super::transform::azenha::plugin::log,
        },
    });
}

pub use transform::azenha::plugin::{data, log};
