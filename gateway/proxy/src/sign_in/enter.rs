//! The host of an app takes over a session that began where people sign in.

use doorward_identity::attempt::{ENTER_COOKIE, Enter, Nonce};
use doorward_identity::cookies::{self, clear_cookie, set_cookie};
use doorward_identity::session::SESSION_COOKIE;
use doorward_model::{Refusal, RefusalCode};
use doorward_state::sessions::OnceKind;
use http::StatusCode;

use super::start::unkept;
use super::{OwnAnswer, OwnRequest, SIGN_IN, SignIn, Step, Stop, unsealed};
use crate::devices;
use crate::pipeline::House;

impl SignIn {
    /// The page `enter`: the code is good once, in the browser that asked for it.
    pub(super) async fn enter(&self, house: &House, request: &OwnRequest) -> Step {
        let code = request.parameter("code").and_then(Nonce::parse);
        let found = match &code {
            None => None,
            Some(code) => {
                let taken = self.sessions.take_once(OnceKind::Enter, &code.hash().name()).await;
                let stored = taken.map_err(|e| Stop::new(unkept(&e)).way("Try again", SIGN_IN.to_owned()))?;
                self.opens(request, code, stored)?
            }
        };
        let Some((mark, enter)) = found else { return self.comes_late(house, request) };
        let mut session = enter.session;
        session.binding = devices::taken_over(&session, request)?;
        let sealed = session.seal(self.sealer(), &request.host).map_err(|e| Stop::new(unsealed(&e)))?;
        let cookies =
            vec![set_cookie(SESSION_COOKIE, &sealed, None), clear_cookie(&format!("{ENTER_COOKIE}{mark}"))];
        let path = enter.back.path_and_query().split('?').next().unwrap_or_default();
        if let Ok(to) = house.routes.resolve(&request.host, path)
            && !self.sightings.saw(&session, &to.app.app.id, request.now)
        {
            tracing::debug!("it was not noted that a session was seen");
        }
        Ok(OwnAnswer::redirect(StatusCode::SEE_OTHER, &self.back_at(&enter.back), cookies))
    }

    /// What the store had under a code, if one of this browser's cookies is the one that it was made for.
    fn opens(
        &self,
        request: &OwnRequest,
        code: &Nonce,
        stored: Option<Vec<u8>>,
    ) -> Result<Option<(String, Enter)>, Refusal> {
        let Some(stored) = stored.and_then(|bytes| String::from_utf8(bytes).ok()) else { return Ok(None) };
        let cookies = cookies::beginning(request.cookie_lines(), ENTER_COOKIE)?;
        let opened = cookies.into_iter().find_map(|(mark, value)| {
            let nonce = Nonce::parse(value)?;
            let enter = Enter::open(self.sealer(), &request.host, code, &nonce, &stored, request.now)?;
            Some((mark.to_owned(), enter))
        });
        Ok(opened)
    }

    /// The code is of no use any more. Who has a session here meanwhile goes on; who has none begins anew.
    fn comes_late(&self, house: &House, request: &OwnRequest) -> Step {
        let cookie = cookies::ours(request.cookie_lines(), SESSION_COOKIE)?;
        let here = cookie.is_some_and(|cookie| self.opened.open(&request.host, cookie, request.now).is_ok());
        let top = house.routes.first_app(&request.host).map_or("/", |app| app.app.path_prefix.as_str());
        if here {
            return Ok(OwnAnswer::redirect(StatusCode::SEE_OTHER, top, Vec::new()));
        }
        let detail = "the code was used, is too old, or was made for another browser";
        Err(Stop::plain(RefusalCode::SignInLost, detail).way("Sign in", SIGN_IN.to_owned()))
    }
}
