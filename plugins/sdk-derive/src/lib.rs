//! The macros of azenha-sdk; see there.

mod accumulator;
mod row;
mod tables;

use proc_macro::TokenStream;
use quote::quote;
use syn::{DeriveInput, LitStr, parse_macro_input};

/// Makes a struct a row: its fields are columns, by name.
///
/// - `#[row(name = "campaignId")]`: the column has another name than the field.
/// - `#[row(optional)]`: the input may lack the column; the field must be an `Option`.
#[proc_macro_derive(Row, attributes(row))]
pub fn derive_row(input: TokenStream) -> TokenStream {
    row::derive(parse_macro_input!(input as DeriveInput)).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct an accumulator: its fields, one after the other.
#[proc_macro_derive(Accumulator)]
pub fn derive_accumulator(input: TokenStream) -> TokenStream {
    accumulator::derive(parse_macro_input!(input as DeriveInput)).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct the tables of an assemble: its fields, each a `Table`, are tables, by name.
#[proc_macro_derive(Tables)]
pub fn derive_tables(input: TokenStream) -> TokenStream {
    tables::derive(parse_macro_input!(input as DeriveInput)).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// The contract, carried along because a plugin may stand outside of this repository.
const CONTRACT: &str = include_str!("../../../wit/azenha.wit");

/// The bindings of a world of the contract, for the export macros.
#[doc(hidden)]
#[proc_macro]
pub fn bindings(world: TokenStream) -> TokenStream {
    let world = parse_macro_input!(world as LitStr);
    quote! {
        ::azenha_sdk::guest::wit_bindgen::generate!({
            inline: #CONTRACT,
            world: #world,
            runtime_path: "::azenha_sdk::guest::wit_bindgen::rt",
            with: {
                "azenha:plugin/data@0.1.0": ::azenha_sdk::guest::contract::data,
                "azenha:plugin/log@0.1.0": ::azenha_sdk::guest::contract::log,
            },
        });
    }
    .into()
}
