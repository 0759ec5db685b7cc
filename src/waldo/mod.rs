//! What speaks to Waldo: the gateway for apps, and calls of our own. It alone holds Waldo's credentials, and it tells the
//! daemon what it learnt by the control socket, like any other program on this machine.
//!
//! `upstream` is the only way out and knows one host; `login` has the tokens; `api` asks for the daemon's own sake;
//! `gateway` forwards what apps ask, and `recording` keeps what Waldo answered them; `reconciler` asks what webhooks did
//! not tell. `sandbox` stands in for Waldo.

mod address;
mod answers;
pub mod api;
pub mod body;
mod connect;
pub mod counted;
pub mod daemon;
pub mod gateway;
pub mod login;
pub mod reconciler;
pub mod recording;
pub mod sandbox;
mod token;
pub mod upstream;

pub use api::{Api, ApiAnswer, ApiError};
pub use counted::Counted;
pub use daemon::Daemon;
pub use gateway::{Gateway, GatewayService};
pub use login::{Login, LoginFault};
pub use recording::Recorder;
pub use token::Token;
pub use upstream::{CallError, Times, Upstream};
