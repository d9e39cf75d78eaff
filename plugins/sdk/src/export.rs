//! The macros that make a crate a plugin.

/// Makes the crate a plugin that runs this [`Transform`](crate::Transform).
///
/// `config_schema` is the text of the configuration's JSON Schema, for editors and `azenha validate`:
/// `transform!(Filter, config_schema = include_str!("../config.schema.json"))`.
#[macro_export]
macro_rules! transform {
    ($plugin:ident $(, config_schema = $schema:expr)? $(,)?) => {
        $crate::column_transform!(@export $crate::ByRow<$plugin> $(, $schema)?);
    };
}

/// Makes the crate a plugin that runs this [`ColumnTransform`](crate::ColumnTransform); otherwise like
/// [`transform!`](crate::transform!).
#[macro_export]
macro_rules! column_transform {
    ($plugin:ident $(, config_schema = $schema:expr)? $(,)?) => {
        $crate::column_transform!(@export $plugin $(, $schema)?);
    };
    (@export $plugin:ty $(, $schema:expr)?) => {
        #[cfg(target_arch = "wasm32")]
        type AzenhaPlugin = $plugin;
        $($crate::__config_schema!($schema);)?

        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, missing_docs, clippy::all, reason = "the bindings are generated")]
        mod azenha_plugin {
            use super::AzenhaPlugin;
            use bindings::{Emitted, Given, Outlet, Output, Passed, Plan, Selection};
            use $crate::{Batch, Field, Problem};

            mod bindings {
                $crate::guest::bindings!("transform");
            }

            ::std::thread_local! {
                static PLUGIN: ::std::cell::RefCell<Option<AzenhaPlugin>> = const { ::std::cell::RefCell::new(None) };
            }

            struct Exported;

            impl bindings::Guest for Exported {
                fn open(config: String, input: Vec<Field>) -> Result<Plan, Vec<Problem>> {
                    let (plugin, plan) = $crate::guest::open_transform::<AzenhaPlugin>(&config, &input)?;
                    PLUGIN.set(Some(plugin));
                    let given = |given| match given {
                        $crate::Given::Passed { input, name } => Given::Passed(Passed { input, name }),
                        $crate::Given::Made(field) => Given::Made(field),
                    };
                    let outlet = |outlet: $crate::Outlet| Outlet {
                        name: outlet.name,
                        gives: outlet.gives.into_iter().map(given).collect(),
                    };
                    Ok(Plan { reads: plan.reads, outputs: plan.outputs.into_iter().map(outlet).collect() })
                }

                fn process(input: Batch) -> Result<Output, String> {
                    let output = PLUGIN.with_borrow_mut(|plugin| {
                        let plugin = plugin.as_mut().ok_or("`process` was called before `open`")?;
                        $crate::ColumnTransform::process(plugin, &input)
                    })?;
                    let emitted = |emitted: $crate::Emitted| Emitted {
                        rows: match emitted.rows {
                            $crate::Selection::All => Selection::All,
                            $crate::Selection::Rows(rows) => Selection::Rows(rows),
                        },
                        columns: emitted.columns,
                    };
                    let outputs = output.outputs.into_iter().map(emitted).collect();
                    Ok(Output { outputs, rejected: output.rejected })
                }
            }

            bindings::export!(Exported with_types_in bindings);
        }
    };
}

/// Makes the crate a plugin that runs this [`Aggregate`](crate::Aggregate); `config_schema` is as in
/// [`transform!`](crate::transform!).
#[macro_export]
macro_rules! aggregate {
    ($plugin:ident $(, config_schema = $schema:expr)? $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        type AzenhaPlugin = $crate::Folder<$plugin>;
        $($crate::__config_schema!($schema);)?

        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, missing_docs, clippy::all, reason = "the bindings are generated")]
        mod azenha_plugin {
            use super::AzenhaPlugin;
            use bindings::{Finished, Folded, Plan};
            use $crate::{Batch, Field, Problem, Strings};

            mod bindings {
                $crate::guest::bindings!("aggregate");
            }

            ::std::thread_local! {
                static PLUGIN: ::std::cell::RefCell<Option<AzenhaPlugin>> = const { ::std::cell::RefCell::new(None) };
            }

            fn opened<T>(call: impl FnOnce(&AzenhaPlugin) -> Result<T, String>) -> Result<T, String> {
                PLUGIN.with_borrow(|plugin| call(plugin.as_ref().ok_or("the plugin was not opened")?))
            }

            struct Exported;

            impl bindings::Guest for Exported {
                fn open(config: String, input: Vec<Field>, _keys: Vec<Field>) -> Result<Plan, Vec<Problem>> {
                    let (plugin, plan) = $crate::guest::open_aggregate(&config, &input)?;
                    PLUGIN.set(Some(plugin));
                    let $crate::AggregatePlan { reads, gives, state_version, reads_versions, merges, retracts } = plan;
                    Ok(Plan { reads, gives, state_version, reads_versions, merges, retracts })
                }

                fn fold(
                    rows: Batch,
                    groups: Vec<u32>,
                    retracted: Option<Vec<u8>>,
                    accumulators: Strings,
                ) -> Result<Folded, String> {
                    let fold = |plugin: &AzenhaPlugin| plugin.fold(&rows, &groups, retracted.as_deref(), &accumulators);
                    opened(fold).map(|folded| Folded { accumulators: folded.accumulators, rejected: folded.rejected })
                }

                fn merge(left: Strings, right: Strings) -> Result<Strings, String> {
                    opened(|plugin| plugin.merge(&left, &right))
                }

                fn finish(_keys: Batch, accumulators: Strings) -> Result<Finished, String> {
                    let finished = opened(|plugin| plugin.finish(&accumulators))?;
                    let $crate::Finished { groups, columns, rejected } = finished;
                    Ok(Finished { groups, columns, rejected })
                }

                fn migrate(from_version: u32, accumulators: Strings) -> Result<Strings, String> {
                    opened(|plugin| plugin.migrate(from_version, &accumulators))
                }
            }

            bindings::export!(Exported with_types_in bindings);
        }
    };
}

/// Makes the crate a plugin that runs this [`Assemble`](crate::Assemble); `config_schema` is as in
/// [`transform!`](crate::transform!).
#[macro_export]
macro_rules! assemble {
    ($plugin:ident $(, config_schema = $schema:expr)? $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        type AzenhaPlugin = $crate::Assembler<$plugin>;
        $($crate::__config_schema!($schema);)?

        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, missing_docs, clippy::all, reason = "the bindings are generated")]
        mod azenha_plugin {
            use super::AzenhaPlugin;
            use bindings::{Assembled, Grouped, Plan, Table};
            use $crate::{Batch, Field, Problem, TableFields};

            mod bindings {
                $crate::guest::bindings!("assemble");
            }

            ::std::thread_local! {
                static PLUGIN: ::std::cell::RefCell<Option<AzenhaPlugin>> = const { ::std::cell::RefCell::new(None) };
            }

            struct Exported;

            impl bindings::Guest for Exported {
                fn open(config: String, tables: Vec<Table>, keys: Vec<Field>) -> Result<Plan, Vec<Problem>> {
                    let table = |Table { name, fields }| TableFields { name, fields };
                    let tables: Vec<TableFields> = tables.into_iter().map(table).collect();
                    let (plugin, plan) = $crate::guest::open_assemble(&config, &tables, &keys)?;
                    PLUGIN.set(Some(plugin));
                    Ok(Plan { reads: plan.reads, gives: plan.gives })
                }

                fn assemble(keys: Batch, tables: Vec<Grouped>) -> Result<Assembled, String> {
                    let grouped = |Grouped { rows, offsets }| $crate::Grouped { rows, offsets };
                    let tables: Vec<$crate::Grouped> = tables.into_iter().map(grouped).collect();
                    PLUGIN.with_borrow(|plugin| {
                        let plugin = plugin.as_ref().ok_or("`assemble` was called before `open`")?;
                        let $crate::Finished { groups, columns, rejected } = plugin.assemble(&keys, &tables)?;
                        Ok(Assembled { groups, columns, rejected })
                    })
                }
            }

            bindings::export!(Exported with_types_in bindings);
        }
    };
}

/// Puts the JSON Schema of the configuration into the module's section `azenha:config-schema`.
#[doc(hidden)]
#[macro_export]
macro_rules! __config_schema {
    ($schema:expr) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, reason = "a section of the module cannot be named without it")]
        const _: () = {
            #[used]
            #[unsafe(link_section = "azenha:config-schema")]
            static SCHEMA: [u8; $schema.len()] = $crate::guest::bytes_of($schema);
        };
    };
}
