//! `#[derive(Accumulator)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields, Result};

pub fn derive(input: DeriveInput) -> Result<TokenStream> {
    let fields = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) if !fields.named.is_empty() => fields,
            _ => return Err(refused(&input)),
        },
        _ => return Err(refused(&input)),
    };
    let name = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    let members: Vec<_> = fields.named.iter().map(|field| &field.ident).collect();
    Ok(quote! {
        impl #generics ::azenha_sdk::Accumulator for #name #arguments #bounds {
            #[inline]
            fn encode(&self, bytes: &mut ::std::vec::Vec<u8>) {
                #(::azenha_sdk::Accumulator::encode(&self.#members, bytes);)*
            }

            #[inline]
            fn decode(bytes: &mut &[u8]) -> ::std::result::Result<Self, ::std::string::String> {
                ::std::result::Result::Ok(Self {
                    #(#members: ::azenha_sdk::Accumulator::decode(bytes)?,)*
                })
            }
        }
    })
}

fn refused(input: &DeriveInput) -> syn::Error {
    syn::Error::new_spanned(&input.ident, "an accumulator is a struct with named fields, at least one")
}
