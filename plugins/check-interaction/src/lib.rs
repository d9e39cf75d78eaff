//! What customers of a shop look at, search and put into carts. What says nothing of that is refused.

use std::borrow::Cow;

use azenha_sdk::{NoConfig, Problem, Rejection, Row, Transform};

/// Units that are put into a cart at once, at most: more are a mistake, and a few such mistakes would be too much for sums
/// in SQL.
const MOST_UNITS: i64 = 1_000_000;

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
            "cart" if quantity.is_some_and(|quantity| quantity > MOST_UNITS) => {
                Err(Rejection::of_part("quantity", format!("a cart of more than {MOST_UNITS}")))
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
