//! What ssh clients read: text out of values. Writes nothing.

pub mod include;
pub mod openssh;
pub mod quote;
