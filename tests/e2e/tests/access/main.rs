//! Who may ask the host for what, what is written down of it, and what nobody is told.

mod audit;
mod browsers;
mod helpers;
mod listening;
mod roles;
mod secrets;
