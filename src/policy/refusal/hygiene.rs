//! What is wrong with a request's form: the answers that RFC 9110 and RFC 9112 ask for, and the words for both sides.

use http::StatusCode;

/// What is wrong with a request's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hygiene {
    /// The request line or a header line does not parse (RFC 9112 §2.2, §3, §5).
    Syntax,
    /// A line ends in a bare LF, or holds a bare CR (RFC 9112 §2.2).
    LineEnding,
    /// A header line is folded (RFC 9112 §5.2).
    ObsoleteFolding,
    /// A control character in a header value or the target.
    ControlCharacter,
    /// No `Host`, several, or not a valid one (RFC 9112 §3.2).
    Host,
    /// `Host` and `:authority`, or `Host` and the absolute-form target, disagree.
    HostMismatch,
    /// An absolute-form target for another host (RFC 9112 §3.2.2).
    AbsoluteForm,
    /// A fragment in the target.
    Fragment,
    /// `Transfer-Encoding` and `Content-Length` together (RFC 9112 §6.1).
    AmbiguousLength,
    /// `Content-Length` repeated or not a number (RFC 9112 §6.3).
    ContentLength,
    /// `Transfer-Encoding` repeated, in HTTP/1.0, or ending in something else than `chunked`.
    TransferEncoding,
    /// A transfer coding that Keygate does not implement: 501 (RFC 9112 §6.1).
    UnknownTransferCoding,
    /// `Connection` names a header that must not be dropped, or does not parse.
    Connection,
    /// The chunked framing of a body is broken (RFC 9112 §7.1).
    Chunked,
    /// `TRACE` or `CONNECT`, or a method that RFC 9110 does not let through here: 405.
    Method,
    /// An expectation other than `100-continue`: 417 (RFC 9110 §10.1.1).
    Expectation,
    /// An HTTP version other than 1.0, 1.1 and 2: 505.
    Version,
    /// A dot segment in the path.
    DotSegment,
    /// `%2F` or `%5C` in the path.
    EncodedSlash,
    /// `\` in the path.
    Backslash,
    /// `//` in the path.
    EmptySegment,
    /// A path that leads to different demands, depending on who reads it.
    AmbiguousPath,
    /// A percent sign without two hexadecimal digits, or an encoded NUL or control character.
    PercentEncoding,
    /// The head is larger than `limits.head_bytes`, or has more than `limits.header_count` lines: 431.
    HeadTooLarge,
    /// The target is longer than `limits.target_bytes`: 414.
    TargetTooLong,
    /// An `Upgrade` that cannot be carried out as asked.
    Upgrade,
    /// The head did not arrive within `timeouts.client_head`: 408.
    HeadTimeout,
}

impl Hygiene {
    /// Whether what follows on the connection can no longer be trusted to begin where Keygate thinks it does.
    #[must_use]
    pub fn ends_connection(self) -> bool {
        match self {
            Self::Method
            | Self::Expectation
            | Self::DotSegment
            | Self::EncodedSlash
            | Self::Backslash
            | Self::EmptySegment
            | Self::AmbiguousPath
            | Self::PercentEncoding
            | Self::Upgrade => false,
            Self::Syntax
            | Self::LineEnding
            | Self::ObsoleteFolding
            | Self::ControlCharacter
            | Self::Host
            | Self::HostMismatch
            | Self::AbsoluteForm
            | Self::Fragment
            | Self::AmbiguousLength
            | Self::ContentLength
            | Self::TransferEncoding
            | Self::UnknownTransferCoding
            | Self::Connection
            | Self::Chunked
            | Self::Version
            | Self::HeadTooLarge
            | Self::TargetTooLong
            | Self::HeadTimeout => true,
        }
    }

    /// The status that RFC 9110 and RFC 9112 name, 400 where they leave it open.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::UnknownTransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::HeadTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Syntax
            | Self::LineEnding
            | Self::ObsoleteFolding
            | Self::ControlCharacter
            | Self::Host
            | Self::HostMismatch
            | Self::AbsoluteForm
            | Self::Fragment
            | Self::AmbiguousLength
            | Self::ContentLength
            | Self::TransferEncoding
            | Self::Connection
            | Self::Chunked
            | Self::DotSegment
            | Self::EncodedSlash
            | Self::Backslash
            | Self::EmptySegment
            | Self::AmbiguousPath
            | Self::PercentEncoding
            | Self::Upgrade => StatusCode::BAD_REQUEST,
        }
    }

    /// `request_invalid`, except where the size or the time is what is wrong.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::HeadTooLarge | Self::TargetTooLong => "head_too_large",
            Self::HeadTimeout => "head_timeout",
            Self::Syntax
            | Self::LineEnding
            | Self::ObsoleteFolding
            | Self::ControlCharacter
            | Self::Host
            | Self::HostMismatch
            | Self::AbsoluteForm
            | Self::Fragment
            | Self::AmbiguousLength
            | Self::ContentLength
            | Self::TransferEncoding
            | Self::UnknownTransferCoding
            | Self::Connection
            | Self::Chunked
            | Self::Method
            | Self::Expectation
            | Self::Version
            | Self::DotSegment
            | Self::EncodedSlash
            | Self::Backslash
            | Self::EmptySegment
            | Self::AmbiguousPath
            | Self::PercentEncoding
            | Self::Upgrade => "request_invalid",
        }
    }

    /// What the caller may read.
    #[must_use]
    pub fn detail(self) -> &'static str {
        match self {
            Self::Syntax => "The request line or a header line does not parse.",
            Self::LineEnding => "Lines of a request head end in CR LF.",
            Self::ObsoleteFolding => "Header lines may not be folded.",
            Self::ControlCharacter => "A header value or the target holds a control character.",
            Self::Host => "Exactly one valid Host is needed.",
            Self::HostMismatch => "Host and the request's authority disagree.",
            Self::AbsoluteForm => "The target names another host.",
            Self::Fragment => "The target may not hold a fragment.",
            Self::AmbiguousLength => "Transfer-Encoding and Content-Length may not come together.",
            Self::ContentLength => "Content-Length must be one decimal number.",
            Self::TransferEncoding => "Transfer-Encoding must be exactly one chunked.",
            Self::UnknownTransferCoding => "This transfer coding is not implemented.",
            Self::Connection => "Connection names a header that may not be dropped.",
            Self::Chunked => "The chunked framing of the body is broken.",
            Self::Method => "This method is not allowed here.",
            Self::Expectation => "The only expectation that can be met is 100-continue.",
            Self::Version => "This HTTP version is not supported.",
            Self::DotSegment => "The path may not hold dot segments.",
            Self::EncodedSlash => "The path may not hold encoded slashes.",
            Self::Backslash => "The path may not hold backslashes.",
            Self::EmptySegment => "The path may not hold empty segments.",
            Self::AmbiguousPath => "The path can be read in more than one way.",
            Self::PercentEncoding => "The path holds a percent-encoding that is not allowed.",
            Self::HeadTooLarge => "The request head is too large.",
            Self::TargetTooLong => "The request target is too long.",
            Self::Upgrade => "The connection cannot be upgraded like this.",
            Self::HeadTimeout => "The request head did not arrive in time.",
        }
    }

    /// For the log.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::LineEnding => "line_ending",
            Self::ObsoleteFolding => "obsolete_folding",
            Self::ControlCharacter => "control_character",
            Self::Host => "host",
            Self::HostMismatch => "host_mismatch",
            Self::AbsoluteForm => "absolute_form",
            Self::Fragment => "fragment",
            Self::AmbiguousLength => "ambiguous_length",
            Self::ContentLength => "content_length",
            Self::TransferEncoding => "transfer_encoding",
            Self::UnknownTransferCoding => "unknown_transfer_coding",
            Self::Connection => "connection",
            Self::Chunked => "chunked",
            Self::Method => "method",
            Self::Expectation => "expectation",
            Self::Version => "version",
            Self::DotSegment => "dot_segment",
            Self::EncodedSlash => "encoded_slash",
            Self::Backslash => "backslash",
            Self::EmptySegment => "empty_segment",
            Self::AmbiguousPath => "ambiguous_path",
            Self::PercentEncoding => "percent_encoding",
            Self::HeadTooLarge => "head_too_large",
            Self::TargetTooLong => "target_too_long",
            Self::Upgrade => "upgrade",
            Self::HeadTimeout => "head_timeout",
        }
    }
}
