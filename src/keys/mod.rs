//! Keys: pairs, formats, agent. Time and randomness are arguments.
