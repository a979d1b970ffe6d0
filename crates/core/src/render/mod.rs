//! Turns a run into what people read: pure functions from events, plans and tables to text.

pub mod log;
pub mod markdown;
pub mod past;
pub mod table;
pub mod text;
pub mod words;
