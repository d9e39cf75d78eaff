//! `#[derive(Row)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Field, Fields, GenericParam, Ident, Lifetime, LitStr, Result, Type};

/// A field of the struct, and its column.
struct RowField<'a> {
    member: &'a Ident,
    cell: &'a Type,
    name: String,
    optional: bool,
}

impl<'a> RowField<'a> {
    fn of(field: &'a Field) -> Result<Self> {
        let Some(member) = &field.ident else {
            return Err(Error::new_spanned(field, "a row is a struct with named fields"));
        };
        let mut name = None;
        let mut optional = false;
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("row")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("name") {
                    name = Some(meta.value()?.parse::<LitStr>()?.value());
                } else if meta.path.is_ident("optional") {
                    optional = true;
                } else {
                    return Err(meta.error("expected `name = \"…\"` or `optional`"));
                }
                Ok(())
            })?;
        }
        if optional && !is_option(&field.ty) {
            return Err(Error::new_spanned(&field.ty, "a column that the input may lack is read as an `Option`"));
        }
        let plain_name = member.to_string();
        let name = name.unwrap_or_else(|| plain_name.trim_start_matches("r#").to_owned());
        Ok(Self { member, cell: &field.ty, name, optional })
    }
}

fn is_option(field_type: &Type) -> bool {
    matches!(field_type, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Option"))
}

/// The lifetime of the batch: the struct's own, if it has one.
fn row_lifetime(input: &DeriveInput) -> Result<Lifetime> {
    let mut parameters = input.generics.params.iter();
    match (parameters.next(), parameters.next()) {
        (None, _) => Ok(Lifetime::new("'row", input.ident.span())),
        (Some(GenericParam::Lifetime(parameter)), None) => Ok(parameter.lifetime.clone()),
        _ => Err(Error::new_spanned(&input.generics, "a row has one lifetime or none, and no other parameters")),
    }
}

pub fn derive(input: DeriveInput) -> Result<TokenStream> {
    let fields = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => fields.named.iter().map(RowField::of).collect::<Result<Vec<_>>>()?,
            _ => return Err(Error::new_spanned(&input.ident, "a row is a struct with named fields")),
        },
        _ => return Err(Error::new_spanned(&input.ident, "a row is a struct")),
    };
    let row = row_lifetime(&input)?;
    let structure = &input.ident;
    let (_, arguments, _) = input.generics.split_for_impl();
    let (columns, builders) = (format_ident!("{structure}Columns"), format_ident!("{structure}Builders"));
    let visibility = &input.vis;
    let members: Vec<_> = fields.iter().map(|field| field.member).collect();
    let values: Vec<_> =
        fields.iter().map(|RowField { cell, .. }| quote!(<#cell as ::azenha_sdk::Cell<#row>>::Value)).collect();
    let described = fields.iter().zip(&values).map(|(RowField { cell, name, optional, .. }, value)| {
        quote! {
            ::azenha_sdk::RowField {
                field: ::azenha_sdk::Field::new(
                    #name,
                    <#value as ::azenha_sdk::Value<#row>>::DATA_TYPE,
                    <#cell as ::azenha_sdk::Cell<#row>>::NULLABLE,
                ),
                optional: #optional,
            }
        }
    });
    let indices = 0..fields.len();
    Ok(quote! {
        #[doc(hidden)]
        #visibility struct #columns<#row> {
            #(#members: ::std::option::Option<::azenha_sdk::View<#row, #values>>,)*
            __batch: ::std::marker::PhantomData<&#row ()>,
        }

        #[doc(hidden)]
        #visibility struct #builders<#row> {
            #(#members: ::azenha_sdk::ColumnBuilder<#row, #values>,)*
            __batch: ::std::marker::PhantomData<&#row ()>,
        }

        impl<#row> ::std::default::Default for #builders<#row> {
            fn default() -> Self {
                Self { #(#members: ::std::default::Default::default(),)* __batch: ::std::marker::PhantomData }
            }
        }

        impl<#row> ::azenha_sdk::Row<#row> for #structure #arguments {
            type Columns = #columns<#row>;
            type Builders = #builders<#row>;

            fn fields() -> ::std::vec::Vec<::azenha_sdk::RowField> {
                ::std::vec![#(#described),*]
            }

            fn columns(
                batch: &#row ::azenha_sdk::Batch,
                slots: &[::std::option::Option<usize>],
            ) -> ::std::result::Result<Self::Columns, ::std::string::String> {
                ::std::result::Result::Ok(#columns {
                    #(#members: slots[#indices].map(|slot| batch.column(slot)).transpose()?,)*
                    __batch: ::std::marker::PhantomData,
                })
            }

            #[inline]
            fn read(columns: &Self::Columns, row: usize) -> Self {
                Self { #(#members: ::azenha_sdk::Cell::read(&columns.#members, row),)* }
            }

            #[inline]
            fn write(self, builders: &mut Self::Builders) {
                #(::azenha_sdk::Cell::write(self.#members, &mut builders.#members);)*
            }

            fn finish(builders: Self::Builders) -> ::std::vec::Vec<::azenha_sdk::Column> {
                ::std::vec![#(builders.#members.finish()),*]
            }
        }
    })
}
