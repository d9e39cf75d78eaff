//! `#[derive(Tables)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, GenericParam, Result};

pub fn derive(input: DeriveInput) -> Result<TokenStream> {
    let fields = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) if !fields.named.is_empty() => fields,
            _ => return Err(refused(&input)),
        },
        _ => return Err(refused(&input)),
    };
    let mut parameters = input.generics.params.iter();
    let (Some(GenericParam::Lifetime(group)), None) = (parameters.next(), parameters.next()) else {
        return Err(Error::new_spanned(
            &input.ident,
            "tables have one lifetime, that of their rows, and no other parameters",
        ));
    };
    let group = &group.lifetime;
    let structure = &input.ident;
    let members: Vec<_> = fields.named.iter().filter_map(|field| field.ident.as_ref()).collect();
    let names = members.iter().map(|member| member.to_string().trim_start_matches("r#").to_owned());
    let tables: Vec<_> = fields.named.iter().map(|field| &field.ty).collect();
    let indices = 0..members.len();
    Ok(quote! {
        impl<#group> ::azenha_sdk::Tables<#group> for #structure<#group> {
            fn columns() -> ::std::vec::Vec<::azenha_sdk::TableColumns> {
                ::std::vec![#(::azenha_sdk::TableColumns { name: #names, fields: <#tables>::fields() }),*]
            }

            fn first_group(
                found: &[::azenha_sdk::Found<#group>],
            ) -> ::std::result::Result<Self, ::std::string::String> {
                ::std::result::Result::Ok(Self { #(#members: <#tables>::first_group(found[#indices])?,)* })
            }

            #[inline]
            fn of_group(&self, group: usize) -> Self {
                Self { #(#members: self.#members.of_group(group),)* }
            }
        }
    })
}

fn refused(input: &DeriveInput) -> Error {
    Error::new_spanned(&input.ident, "tables are a struct with named fields of the type `Table`, at least one")
}
