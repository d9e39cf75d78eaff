//! Normalises clicks and adds the stage of the funnel that each belongs to. Clicks without a campaign or a
//! time are refused: nothing downstream could place them.

use std::borrow::Cow;

use azenha_sdk::{NoConfig, Problem, Rejection, Row, Timestamp, Transform};

/// A click as it comes; its other columns are passed on.
#[derive(Row)]
pub struct Click<'a> {
    #[row(name = "campaignId")]
    campaign_id: Option<&'a str>,
    #[row(optional)]
    event: Option<&'a str>,
    timestamp: Option<Timestamp>,
}

/// What is certain of a click, and what is derived from it.
#[derive(Row)]
pub struct EnrichedClick<'a> {
    #[row(name = "campaignId")]
    campaign_id: &'a str,
    event: Option<Cow<'a, str>>,
    timestamp: Timestamp,
    #[row(name = "funnelStage")]
    funnel_stage: &'a str,
}

/// The transform.
pub struct EnrichClick;

impl Transform for EnrichClick {
    type Config = NoConfig;
    type Input<'a> = Click<'a>;
    type Output<'a> = EnrichedClick<'a>;

    fn open(_config: NoConfig) -> Result<Self, Problem> {
        Ok(Self)
    }

    fn process<'a>(&self, click: Click<'a>) -> Result<EnrichedClick<'a>, Rejection> {
        // The spelling of a campaign is the customer's own: only the blanks around it go.
        let campaign_id = click.campaign_id.map(str::trim).filter(|campaign| !campaign.is_empty());
        let event = click.event.map(normalised);
        Ok(EnrichedClick {
            campaign_id: campaign_id.ok_or("click without campaign")?,
            timestamp: click.timestamp.ok_or("click without time")?,
            funnel_stage: event.as_deref().map_or("other", funnel_stage),
            event,
        })
    }
}

/// The event without blanks around it, in lower case.
fn normalised(event: &str) -> Cow<'_, str> {
    let event = event.trim();
    // Bytes are quicker to look at than characters, and nearly every event is plain.
    let plain = event.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if plain { Cow::Borrowed(event) } else { Cow::Owned(event.to_lowercase()) }
}

/// How far the visitor has come on the way to a purchase.
fn funnel_stage(event: &str) -> &'static str {
    match event {
        "home" | "promo_page" => "awareness",
        "search" | "catalog" | "filter_results" | "product_view" | "review_page" | "compare" => "consideration",
        "wishlist_add" | "add_to_cart" | "cart" | "shipping_details" => "intent",
        "payment_details" | "purchase" => "conversion",
        "account_page" | "support_chat" => "service",
        "error_page" | "payment_error" | "checkout_bug" => "friction",
        _ => "other",
    }
}

azenha_sdk::transform!(EnrichClick);

#[cfg(test)]
mod tests {
    #[test]
    fn the_cases_hold() {
        azenha_sdk::testing::transform_cases::<super::EnrichClick>();
    }
}
