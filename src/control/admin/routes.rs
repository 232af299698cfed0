//! What can be asked below `/admin/v1`: every method and path, and the role that it needs.
//!
//! A room of its own because it is the one list: 404, 405 and `Allow` come from it, and a test holds the OpenAPI
//! description against it.

use http::Method;
use matchit::Router;
use percent_encoding::percent_decode_str;

use crate::config::admin::Role;

/// One thing that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Status,
    Explain,
    Reload,
    ListKeys,
    CreateKey,
    ShowKey,
    RotateKey,
    RevokeKey,
    DisableKey,
    EnableKey,
    Usage,
    Audit,
    ListWebhooks,
    WebhookActivity,
    WebhookEvents,
    ShowWebhook,
    TestWebhook,
    PauseWebhook,
    ResumeWebhook,
    ReplayEvent,
    OpenApi,
}

/// Where a request leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There, with what the path names.
    Route(Route, Named),
    /// To a path that takes other methods: these.
    OtherMethods(String),
    /// To a path that takes these methods, of which is asked.
    Options(String),
    /// Nowhere.
    Nothing,
}

/// What a path names; empty where it names no such thing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// `{id}`
    pub(super) id: String,
    /// `{event}`
    pub(super) event: String,
}

impl Route {
    /// All of them.
    pub(super) const ALL: [Self; 21] = [
        Self::Status,
        Self::Explain,
        Self::Reload,
        Self::ListKeys,
        Self::CreateKey,
        Self::ShowKey,
        Self::RotateKey,
        Self::RevokeKey,
        Self::DisableKey,
        Self::EnableKey,
        Self::Usage,
        Self::Audit,
        Self::ListWebhooks,
        Self::WebhookActivity,
        Self::WebhookEvents,
        Self::ShowWebhook,
        Self::TestWebhook,
        Self::PauseWebhook,
        Self::ResumeWebhook,
        Self::ReplayEvent,
        Self::OpenApi,
    ];

    /// Where it is.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Status => "/admin/v1/status",
            Self::Explain => "/admin/v1/explain",
            Self::Reload => "/admin/v1/reload",
            Self::ListKeys | Self::CreateKey => "/admin/v1/keys",
            Self::ShowKey => "/admin/v1/keys/{id}",
            Self::RotateKey => "/admin/v1/keys/{id}/rotate",
            Self::RevokeKey => "/admin/v1/keys/{id}/revoke",
            Self::DisableKey => "/admin/v1/keys/{id}/disable",
            Self::EnableKey => "/admin/v1/keys/{id}/enable",
            Self::Usage => "/admin/v1/usage",
            Self::Audit => "/admin/v1/audit",
            Self::ListWebhooks => "/admin/v1/webhooks",
            Self::WebhookActivity => "/admin/v1/webhooks/activity",
            Self::WebhookEvents => "/admin/v1/webhooks/events",
            Self::ShowWebhook => "/admin/v1/webhooks/{id}",
            Self::TestWebhook => "/admin/v1/webhooks/{id}/test",
            Self::PauseWebhook => "/admin/v1/webhooks/{id}/pause",
            Self::ResumeWebhook => "/admin/v1/webhooks/{id}/resume",
            Self::ReplayEvent => "/admin/v1/webhooks/{id}/events/{event}/replay",
            Self::OpenApi => "/admin/v1/openapi.json",
        }
    }

    /// How it is asked. What is asked with GET can be asked with HEAD, too.
    pub(super) fn method(self) -> Method {
        match self {
            Self::Status
            | Self::ListKeys
            | Self::ShowKey
            | Self::Usage
            | Self::Audit
            | Self::ListWebhooks
            | Self::WebhookActivity
            | Self::WebhookEvents
            | Self::ShowWebhook
            | Self::OpenApi => Method::GET,
            Self::Explain
            | Self::Reload
            | Self::CreateKey
            | Self::RotateKey
            | Self::RevokeKey
            | Self::DisableKey
            | Self::EnableKey
            | Self::TestWebhook
            | Self::PauseWebhook
            | Self::ResumeWebhook
            | Self::ReplayEvent => Method::POST,
        }
    }

    /// Who may ask it.
    pub(super) fn role(self) -> Role {
        match self {
            Self::Status
            | Self::Explain
            | Self::ListKeys
            | Self::ShowKey
            | Self::Usage
            | Self::Audit
            | Self::ListWebhooks
            | Self::WebhookActivity
            | Self::WebhookEvents
            | Self::ShowWebhook
            | Self::OpenApi => Role::Viewer,
            Self::Reload
            | Self::RevokeKey
            | Self::DisableKey
            | Self::EnableKey
            | Self::TestWebhook
            | Self::PauseWebhook
            | Self::ResumeWebhook
            | Self::ReplayEvent => Role::Operator,
            Self::CreateKey | Self::RotateKey => Role::Admin,
        }
    }

    /// Whether it changes something, which is worth a line in the log.
    pub(super) fn changes(self) -> bool {
        self.method() != Method::GET
    }

    fn takes(self, method: &Method) -> bool {
        let own = self.method();
        own == *method || (own == Method::GET && *method == Method::HEAD)
    }
}

/// The way from a request to its route.
pub(super) struct Routes(Router<Vec<Route>>);

impl Routes {
    pub(super) fn new() -> Self {
        let mut router = Router::<Vec<Route>>::new();
        for route in Route::ALL {
            match router.at_mut(route.path()) {
                // A pattern is found by itself, or by one that is less exact.
                Ok(found) if found.value.iter().any(|other| other.path() == route.path()) => found.value.push(route),
                Ok(_) | Err(_) => router
                    .insert(route.path(), vec![route])
                    .expect("the table holds no two patterns for one path"),
            }
        }
        Self(router)
    }

    /// Where this leads.
    pub(super) fn find(&self, method: &Method, path: &str) -> Found {
        let Ok(found) = self.0.at(path) else {
            return Found::Nothing;
        };
        let named = |name| {
            let text = percent_decode_str(found.params.get(name).unwrap_or_default()).decode_utf8();
            text.map(std::borrow::Cow::into_owned)
        };
        let (Ok(id), Ok(event)) = (named("id"), named("event")) else {
            return Found::Nothing;
        };
        if let Some(route) = found.value.iter().find(|route| route.takes(method)) {
            return Found::Route(*route, Named { id, event });
        }
        if *method == Method::OPTIONS {
            return Found::Options(allow(found.value));
        }
        Found::OtherMethods(allow(found.value))
    }
}

/// RFC 9110 §10.2.1.
fn allow(routes: &[Route]) -> String {
    let mut methods: Vec<Method> = routes.iter().map(|route| route.method()).collect();
    if methods.contains(&Method::GET) {
        methods.push(Method::HEAD);
    }
    methods.push(Method::OPTIONS);
    let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
    methods.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_by_its_own_path_and_method() {
        let routes = Routes::new();
        for route in Route::ALL {
            let path = route.path().replace("{id}", "key%2F1").replace("{event}", "a%2f%25b");
            let named = |name, text: &str| {
                if route.path().contains(name) {
                    text.to_owned()
                } else {
                    String::new()
                }
            };
            let (id, event) = (named("{id}", "key/1"), named("{event}", "a/%b"));
            let found = Found::Route(route, Named { id, event });
            assert_eq!(routes.find(&route.method(), &path), found);
            let head = match route.method() == Method::GET {
                true => found,
                false if route == Route::CreateKey => Found::Route(Route::ListKeys, Named::default()),
                false => Found::OtherMethods("POST, OPTIONS".to_owned()),
            };
            assert_eq!(routes.find(&Method::HEAD, &path), head, "{path}");
        }
    }

    #[test]
    fn a_webhook_may_have_the_name_of_a_list() {
        let found = Routes::new().find(&Method::GET, "/admin/v1/webhooks/%61ctivity");
        let named = Named {
            id: "activity".to_owned(),
            event: String::new(),
        };
        assert_eq!(found, Found::Route(Route::ShowWebhook, named));
    }

    #[test]
    fn other_methods_and_other_paths_lead_nowhere() {
        let routes = Routes::new();
        let keys = "GET, POST, HEAD, OPTIONS".to_owned();
        assert_eq!(
            routes.find(&Method::PUT, "/admin/v1/keys"),
            Found::OtherMethods(keys.clone())
        );
        assert_eq!(routes.find(&Method::OPTIONS, "/admin/v1/keys"), Found::Options(keys));
        for path in [
            "/admin/v1",
            "/admin/v1/keys/",
            "/admin/v1/keys/a/b",
            "/admin/v1/keys/a/rotate/",
            "/admin/v1/keys/%ff",
            "/admin/v2/keys",
            "/admin/v1/status/",
            "/admin/v1/webhooks/a/events/%ff/replay",
            "/admin/v1/webhooks/a/events/b/c/replay",
        ] {
            assert_eq!(routes.find(&Method::GET, path), Found::Nothing, "{path}");
        }
    }
}
