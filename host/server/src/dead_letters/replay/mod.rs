//! Makes the decision of a bundle once more: the call of a plugin, or what the host decided by itself.

mod call;
mod report;
mod store;

use azenha_engine::replay::{Refusal, judge};
use azenha_model::Environment;
use azenha_model::dead_letter::{Basis, PluginCall};
use azenha_sandbox::{LoadError, Plugin, Sandbox};

use super::bundle::{About, Bundle};
use call::Played;
pub use call::config;
use report::Tried;
pub use report::{Called, Made, Replayed};
pub use store::{ask, row_of};

/// What a replay needs beside the bundle.
pub struct Means<'a> {
    /// Runs plugins, and bounds each of their calls.
    pub sandbox: &'a Sandbox,
    /// The values of variables.
    pub environment: &'a Environment<'a>,
}

/// A plugin that may have what the one of the letter lacks.
#[derive(Debug)]
pub struct Other {
    /// What it is called.
    pub name: String,
    /// Its component, or core module.
    pub bytes: Vec<u8>,
}

/// Why nothing was decided.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Something is missing.
    #[error("it cannot be replayed: {0:#}")]
    Unplayable(#[from] anyhow::Error),
    /// Another plugin was given, and none was called.
    #[error("no plugin was called, so there is nothing that {0} could repair")]
    NotCalled(String),
    /// A plugin is none.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The host would let the row through; the store did not.
    #[error("the store itself refused the row for `{0}`, which only a store can do again")]
    ByStore(String),
}

/// Decides once more, and with another plugin. It takes as long as plugins may take.
///
/// # Errors
/// If nothing can be decided: [`ReplayError`].
pub fn replay(bundle: &Bundle, means: &Means<'_>, with: Option<&Other>) -> Result<Replayed, ReplayError> {
    if let (Some(other), false) = (with, matches!(bundle.basis, Basis::Call(_))) {
        return Err(ReplayError::NotCalled(other.name.clone()));
    }
    let unplayable = |error| ReplayError::Unplayable(anyhow::Error::from(error));
    let refusal = match &bundle.basis {
        Basis::Call(call) => return of_call(bundle, call, means, with),
        Basis::Store(row) => store::of_row(bundle, row)?,
        host => judge(host, bundle.record.as_ref(), &bundle.manifest.masked).map_err(unplayable)?,
    };
    Ok(of_host(bundle, refusal))
}

/// What the host, or a store that was asked, decides.
pub fn of_host(bundle: &Bundle, refusal: Option<Refusal>) -> Replayed {
    let letter = &bundle.manifest.letter;
    let is_as = |refusal: &Refusal| refusal.reason == letter.reason && refusal.part == letter.part;
    Replayed { reproduced: refusal.as_ref().is_some_and(is_as), ..Replayed::of(bundle, Made::refused(refusal)) }
}

fn of_call(
    bundle: &Bundle,
    call: &PluginCall,
    means: &Means<'_>,
    with: Option<&Other>,
) -> Result<Replayed, ReplayError> {
    let letter = &bundle.manifest.letter;
    let played = Played::of(bundle, call)?;
    let (config, missing) = config(played.opened, means.environment).map_err(ReplayError::Unplayable)?;
    // What does not open may lack no more than a variable.
    let told = |error: anyhow::Error| match missing.is_empty() {
        true => ReplayError::Unplayable(error),
        false => ReplayError::Unplayable(anyhow::anyhow!("{error:#}; {}", missing.join("; "))),
    };
    let own = means.sandbox.load(&call.plugin, &bundle.plugin)?;
    let outcome = played.replay(&own, &config, None).map_err(told)?;
    let reproduced = outcome.is_as(letter);
    let try_other = |other: &Other| {
        let plugin = means.sandbox.load(&other.name, &other.bytes)?;
        let written_by = played.state_version(&own, &config);
        let outcome = played.replay(&plugin, &config, written_by).map_err(told)?;
        Ok::<_, ReplayError>(tried(other, &plugin, letter, outcome))
    };
    let with = with.map(try_other).transpose()?;
    Ok(Replayed { reproduced, with, missing, ..Replayed::of(bundle, Made::of(outcome)) })
}

fn tried(other: &Other, plugin: &Plugin, letter: &About, outcome: call::Outcome) -> Tried {
    Tried {
        plugin: other.name.clone(),
        digest: plugin.digest().to_owned(),
        goes_through: outcome.repairs(letter),
        outcome: Made::of(outcome),
    }
}
