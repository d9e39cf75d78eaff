//! What customers of a shop look at, search and put into carts. What says nothing of that is refused.

use std::borrow::Cow;

use azenha_sdk::{NoConfig, Problem, Rejection, Row, Transform};

/// An interaction as the shop sends it; its other columns are passed on.
#[derive(Row)]
pub struct Interaction<'a> {
    kind: &'a str,
    product_id: Option<&'a str>,
    query: Option<&'a str>,
    quantity: Option<i64>,
}

/// What is certain of it.
#[derive(Row)]
pub struct Checked<'a> {
    kind: Cow<'a, str>,
    /// What was searched for, in lower case and without blanks around it.
    query: Option<String>,
}

/// The transform.
pub struct CheckInteraction;

impl Transform for CheckInteraction {
    type Config = NoConfig;
    type Input<'a> = Interaction<'a>;
    type Output<'a> = Checked<'a>;

    fn open(_config: NoConfig) -> Result<Self, Problem> {
        Ok(Self)
    }

    fn process<'a>(&self, interaction: Interaction<'a>) -> Result<Checked<'a>, Rejection> {
        let Interaction { kind, product_id, query, quantity } = interaction;
        let query = query.map(|query| query.trim().to_lowercase()).filter(|query| !query.is_empty());
        match kind {
            "view" | "cart" if product_id.is_none() => {
                Err(Rejection::of_part("product", format!("a {kind} of no product")))
            }
            "cart" if quantity.is_none_or(|quantity| quantity < 1) => {
                Err(Rejection::of_part("quantity", "a cart of no quantity, or one below 1"))
            }
            "search" if query.is_none() => Err(Rejection::of_part("query", "a search for nothing")),
            "view" | "cart" | "search" => Ok(Checked { kind: Cow::Borrowed(kind), query }),
            _ => Err(Rejection::of_part("type", "none of view, search and cart")),
        }
    }
}

azenha_sdk::transform!(CheckInteraction);

#[cfg(test)]
mod tests {
    #[test]
    fn the_cases_hold() {
        azenha_sdk::testing::transform_cases::<super::CheckInteraction>();
    }
}
