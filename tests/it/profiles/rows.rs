//! What each gateway does with inbound calls: the rows that a profile has to show.

/// Every profile with its rows, in alphabetical order. Webhooks belong to the other direction.
pub const ROWS: &[(&str, &[&str])] = &[
    (
        "connexease",
        &[
            "credential",
            "environments by prefix",
            "order",
            "header missing",
            "header not Bearer",
            "key unknown or expired",
            "error body",
            "rate limit",
            "success headers",
            "limit exceeded",
            "key service broken",
            "management",
        ],
    ),
    (
        "connxio",
        &[
            "credential",
            "scopes",
            "several credentials at once",
            "subscriptions",
            "active switch",
            "lint",
            "backwards compatibility",
            "staged roll-out",
        ],
    ),
    (
        "gosendapi",
        &[
            "credential",
            "environments",
            "tenancy",
            "GET /v1/me",
            "missing or invalid key",
            "rate limit",
            "headers",
            "limit exceeded",
            "rotation",
            "revocation",
            "last used",
            "IP allowlist",
            "admin key",
        ],
    ),
    (
        "swellsign",
        &[
            "credential",
            "creation",
            "tenancy and roles",
            "monitoring",
            "security",
            "transport",
        ],
    ),
    (
        "wa-gateway",
        &[
            "credential",
            "two kinds of caller",
            "tenancy",
            "permissions",
            "every action is checked",
            "error body",
            "realtime",
            "revocation",
            "creation",
        ],
    ),
];
