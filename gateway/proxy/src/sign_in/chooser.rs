//! Where does somebody sign in? Asked where there are several providers and nothing tells which.
//!
//! An address is looked at for its domain alone. Whether anybody has it is not looked up, so nobody learns it here;
//! and nothing of it is kept.

use doorward_identity::attempt::Nonce;
use doorward_model::{IssuerId, MailDomain};
use http::StatusCode;

use super::attempts::{Manner, Want};
use super::pages::{Card, Question};
use super::{AGAIN, CHOOSE, OwnAnswer, OwnRequest, SignIn, Step, Stop, forms, unsealed};
use crate::pipeline::House;

/// The longest address that is looked at, in bytes (RFC 5321 §4.5.3.1.3).
const ADDRESS_BYTES_MAX: usize = 254;
/// The field of the form.
const ADDRESS: &str = "address";

impl SignIn {
    /// Asks where somebody signs in, and has the browser remember what for.
    pub(super) fn asks_where(&self, request: &OwnRequest, candidates: &[&IssuerId], want: Want) -> Step {
        let Some(first) = candidates.first() else {
            return Err(self.lost("nobody signs in here: no issuer has a table `[issuer.sign_in]`"));
        };
        let (state, attempt) = self.attempt(first, want, None, request.now)?;
        let cookies = self.remembers(request, &attempt, &state)?;
        Ok(self.choice(candidates, &state, false, None, request)?.with_cookies(cookies))
    }

    /// The page that asks where somebody signs in.
    pub(super) fn choice(
        &self,
        candidates: &[&IssuerId],
        state: &Nonce,
        anew: bool,
        complaint: Option<&str>,
        request: &OwnRequest,
    ) -> Step {
        let anew = if anew { "&anew=1" } else { "" };
        let titles: Vec<(String, String)> = candidates
            .iter()
            .map(|id| {
                let words = format!("Sign in with {}", self.providers.title(id).unwrap_or(id.as_str()));
                (words, format!("{AGAIN}?state={}&provider={id}{anew}", state.expose()))
            })
            .collect();
        let token = forms::token(self.sealer(), &bound_to(state), request.now)
            .map_err(|e| Stop::new(unsealed(&e)))?;
        let hidden = [("state", state.expose().to_owned()), (forms::TOKEN, token)];
        let mut card = Card::new("Sign in");
        if let Some(complaint) = complaint {
            card = card.stress(complaint);
        }
        let card = card
            .ask(&Question {
                action: CHOOSE,
                hidden: &hidden,
                label: "Your e-mail address at work",
                name: ADDRESS,
                button: "Continue",
            })
            .list("Or choose:", titles.iter().map(|(words, to)| (words.as_str(), to.as_str())));
        Ok(card.answer(self.terms.organization.as_deref(), StatusCode::OK))
    }

    /// The page `choose`: the address was sent.
    pub(super) async fn chosen(&self, house: &House, request: &OwnRequest) -> Step {
        forms::check_site(request, &self.terms.origin.own(""))?;
        let state = forms::field(&request.body, "state").unwrap_or_default();
        let (state, attempt) = self.attempt_of(request, &state)?;
        forms::check_token(self.sealer(), &bound_to(&state), request)?;
        let candidates = self.candidates(house, attempt.app.as_ref());
        let address = forms::field(&request.body, ADDRESS).unwrap_or_default();
        let address = address.trim();
        let domain = (address.len() <= ADDRESS_BYTES_MAX)
            .then(|| address.rsplit_once('@').and_then(|(_, domain)| MailDomain::new(domain).ok()))
            .flatten();
        let Some(domain) = domain else {
            let complaint = "That is not an e-mail address.";
            return self.choice(&candidates, &state, false, Some(complaint), request);
        };
        let mut of_domain = self.providers.of_domain(&domain);
        of_domain.retain(|id| candidates.contains(id));
        let provider = match of_domain.as_slice() {
            [only] => *only,
            [] => {
                let complaint = "We do not know where people with such an address sign in.";
                return self.choice(&candidates, &state, false, Some(complaint), request);
            }
            several => {
                let complaint = "There are several ways to sign in with such an address.";
                return self.choice(several, &state, false, Some(complaint), request);
            }
        };
        let manner = Manner { hint: Some(address.to_owned()), ..Manner::default() };
        let redirect = self.lead(request, provider, Want::of(&attempt), manner).await?;
        let title = self.providers.title(provider).unwrap_or(provider.as_str());
        let words = format!("Continue to {title}");
        // Browsers hold a redirect of a form against the policy of the page that it was on.
        let card = Card::new("One moment")
            .say("You are sent on to sign in.")
            .ways([(words.as_str(), redirect.location.as_str())])
            .leading_on(&redirect.location);
        let answer: OwnAnswer = card.answer(self.terms.organization.as_deref(), StatusCode::OK);
        Ok(answer.with_cookies(redirect.cookies))
    }
}

/// The form is of this attempt, and of no other page.
fn bound_to(state: &Nonce) -> String {
    format!("{CHOOSE}\0{}", state.expose())
}
