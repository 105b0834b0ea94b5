//! What becomes of refresh tokens whose sessions have ended.

use doorward_model::Target;
use doorward_state::Action;

use super::house::{Browser, Doors};
use super::{alice, becomes, wiki};

#[tokio::test]
async fn a_provider_that_was_away_is_given_the_token_when_it_is_back() {
    let doors = Doors::open().await;
    let mut browser = Browser::default();
    doors.signs_in(&mut browser, "alice", &wiki("/")).await.app();
    doors.revoke(Target::User(alice()), Action::Revoke).await;
    doors.provider.goes_down();
    doors.sign_in.clear_up_after(&doors.house, &alice()).await.unwrap();
    assert!(doors.sign_in.sessions.of(&alice()).await.unwrap().is_empty(), "the gateway keeps none");
    becomes("it was brought once", async || doors.provider.turned_away() > 0).await;
    assert!(doors.provider.given_back().is_empty());
    doors.provider.comes_back();
    becomes("it is brought again", async || !doors.provider.given_back().is_empty()).await;
    let given_back = doors.provider.given_back();
    assert!(given_back.len() == 1 && given_back[0].starts_with("refresh-"), "{given_back:?}");
}
