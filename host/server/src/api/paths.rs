//! What the paths of routes name.

use serde::Deserialize;
use utoipa::IntoParams;

/// A pipeline.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct OfPipeline {
    /// The pipeline's name.
    pub name: String,
}

/// A step of a pipeline.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct OfStep {
    /// The pipeline's name.
    pub name: String,
    /// The step's name.
    pub step: String,
}

/// A dead letter of a pipeline.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct OfLetter {
    /// The pipeline's name.
    pub name: String,
    /// The letter's id, each `/` of it as `%2F`.
    pub id: String,
}
