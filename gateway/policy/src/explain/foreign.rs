//! Explains a request to policies that are not the gateway's, given as the files of Cedar's own command line.

use cedar_policy::{Context, Entities, EntityUid, Request};
use doorward_model::limits::POLICY_LOAD_STACK_BYTES;
use serde::Deserialize;

use super::{Explanation, explain};
use crate::foreign::ForeignSet;
use crate::load::on_stack;
use crate::vocabulary::whole;
use crate::workshop::PolicySource;

/// A request as `cedar authorize --request-json` takes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    principal: String,
    action: String,
    resource: String,
    #[serde(default)]
    context: Option<serde_json::Value>,
}

impl ForeignSet {
    /// Explains a request, as Cedar itself decides. `request` is `{ principal, action, resource, context }`, `entities` a
    /// list of entities, both as JSON; with a schema they must conform to it.
    ///
    /// # Errors
    /// What is wrong with them, in one line.
    pub fn explain(&self, request: &str, entities: &str) -> Result<Explanation, String> {
        on_stack("explain", POLICY_LOAD_STACK_BYTES, || {
            let request = self.request(request)?;
            let entities = Entities::from_json_str(entities, self.schema())
                .map_err(|e| format!("the entities cannot be read: {}", whole(&e)))?;
            Ok(explain(self.policies().iter().map(PolicySource::policy), &request, &entities))
        })?
    }

    fn request(&self, text: &str) -> Result<Request, String> {
        let written: Written = serde_json::from_str(text)
            .map_err(|e| format!("the request is not {{ principal, action, resource, context }}: {e}"))?;
        let uid = |what: &str, text: &str| {
            text.parse::<EntityUid>()
                .map_err(|e| format!("the {what} `{text}` is not an entity: {}", whole(&e)))
        };
        let action = uid("action", &written.action)?;
        let context = match written.context {
            Some(context) => Context::from_json_value(context, self.schema().map(|schema| (schema, &action)))
                .map_err(|e| format!("the context cannot be read: {}", whole(&e)))?,
            None => Context::empty(),
        };
        let (principal, resource) =
            (uid("principal", &written.principal)?, uid("resource", &written.resource)?);
        Request::new(principal, action, resource, context, self.schema())
            .map_err(|e| format!("the request does not fit the schema: {}", whole(&e)))
    }
}
